"""Calls that a job's row holds: it may say something that the job's workflow has not heard."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from darkroom.domain.errors import DarkroomError

log = structlog.get_logger(__name__)

LONGEST_LOOK = 10.0
"""Seconds; what takes longer is left to the pick-up."""


class HeldCalls:
    """Looks at the row of a job whose calls it holds: whoever sets it to cancelled cancels the job (spec §2).

    Args:
        cancel: cancels a job whose row somebody else has set to cancelled, and no other.
    """

    def __init__(self, cancel: Callable[[UUID], Awaitable[object]] | None) -> None:
        self._cancel = cancel
        self._looking: set[UUID] = set()

    async def note(self, job_id: UUID) -> None:
        """A call of the job is held. Twenty at once need one look, and the pick-up looks every few seconds anyway."""
        if self._cancel is None or job_id in self._looking:
            return
        self._looking.add(job_id)
        try:
            async with asyncio.timeout(LONGEST_LOOK):
                await self._cancel(job_id)
        except (DarkroomError, TimeoutError) as error:
            log.debug("row of a held job not read", job_id=str(job_id), reason=str(error))
        finally:
            self._looking.discard(job_id)
