"""The job's row catches up after the last image of a burst."""

import asyncio
from uuid import UUID

import structlog

from darkroom.domain.errors import RecordsRefused, RecordsUnavailable
from darkroom.records.jobs import JobRecords

log = structlog.get_logger(__name__)

CATCH_UP_AFTER = 0.8
"""Seconds after a settlement that the row does not show yet; it may trail by one second (spec §2)."""


class RowRefresher:
    """Refreshes job rows that a settlement left behind.

    A settlement refreshes the row itself when the last refresh is a second old, so only the last images
    of a burst need this. It costs no history; if this process dies first, the end of the batch does it.
    """

    def __init__(self, records: JobRecords, after: float = CATCH_UP_AFTER) -> None:
        self._records = records
        self._after = after
        self._waiting: dict[UUID, asyncio.Task[None]] = {}

    def due(self, job_id: UUID) -> None:
        """A settlement was not shown on the row of this job."""
        if job_id not in self._waiting:
            self._waiting[job_id] = asyncio.create_task(self._catch_up(job_id))

    async def _catch_up(self, job_id: UUID) -> None:
        await asyncio.sleep(self._after)
        # From here on a new settlement must ask again: this refresh may not see it.
        self._waiting.pop(job_id, None)
        try:
            await self._records.refresh(job_id)
        except RecordsUnavailable as error:
            log.warning("job row not updated, will retry", job_id=str(job_id), reason=str(error))
            self.due(job_id)
        except RecordsRefused as error:
            # The end of the batch writes the row too, and says what is wrong with it.
            log.warning("job row not updated", job_id=str(job_id), reason=str(error))

    async def close(self) -> None:
        """Refresh now whatever still waits."""
        waiting, self._waiting = self._waiting, {}
        for task in waiting.values():
            task.cancel()
        for job_id in waiting:
            await self._records.refresh(job_id)
