"""Deleting jobs that have ended, one by one or those of before a moment; the files last, so that it can go on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog

from darkroom.client.reading import not_found
from darkroom.domain import names
from darkroom.domain.deleting import Deletion, in_use
from darkroom.domain.errors import JobNotFound, NotPossibleNow, OrderRejected, RecordsRefused
from darkroom.orders import read_order
from darkroom.records.deleting import DeleteRecords
from darkroom.records.jobs import JobRecords
from darkroom.records.paging import delivered_pages
from darkroom.records.watching import WatchRecords
from darkroom.storage import Storage

PAGE = 500
UNFINISHED = 100
"""Interrupted deletes that are finished at a time."""

log = structlog.get_logger(__name__)


class DeletingRecords(DeleteRecords, JobRecords, WatchRecords, Protocol):
    """Jobs, and which of them are deleted."""


class Deleting:
    """Deletes jobs; an interrupted delete is finished by the next one, and by housekeeping."""

    def __init__(self, records: DeletingRecords, storage: Storage) -> None:
        self._records = records
        self._storage = storage

    async def deletion(self, job_id: UUID) -> Deletion:
        """What deleting a job would remove, or has removed.

        Raises:
            JobNotFound: no such job.
        """
        found = await self._records.deletion(job_id)
        if found is None:
            raise not_found(job_id)
        return await self._unless_awaited(found, await self._awaited())

    async def delete(self, job_id: UUID) -> Deletion:
        """Delete a job and its files; deleted before, what is left of its files goes.

        Raises:
            JobNotFound: no such job.
            NotPossibleNow: it has not ended, or its pictures are in use.
        """
        found = await self.deletion(job_id)
        begun = found if found.refusal else await self._records.begin_delete(job_id)
        if begun.refusal is not None:
            raise NotPossibleNow(f"job {job_id} {begun.refusal}")
        if not begun.files_removed:
            await self._remove_files(job_id)
        return begun.model_copy(update={"files_removed": True})

    async def finish_interrupted(self) -> int:
        """Remove the files of jobs whose delete was interrupted; how many jobs."""
        unfinished = await self._records.unfinished_deletes(UNFINISHED)
        for job_id in unfinished:
            await self._remove_files(job_id)
            log.info("interrupted delete finished", job_id=str(job_id))
        return len(unfinished)

    async def ended_before(self, moment: datetime) -> AsyncIterator[Deletion]:
        """What deleting the jobs would remove that ended before a moment, the oldest first; some cannot be deleted."""
        awaited = await self._awaited()
        after: tuple[datetime, UUID] | None = None
        while page := await self._records.ended_jobs(moment, after, PAGE):
            last = page[-1]
            assert last.completed_at is not None, "it is sorted by that"
            after = last.completed_at, last.job_id
            for found in page:
                yield await self._unless_awaited(found, awaited)

    async def _awaited(self) -> Mapping[int, UUID]:
        """References of jobs that wait for their first run, and have no stages yet: by attachment, a job."""
        awaited: dict[int, UUID] = {}
        for job in await self._records.unfinished_jobs(processing=False):
            try:
                source = await self._records.order_source(job.job_id)
                order = read_order(source.document, job_type=source.job_type, total_images=job.total_images).order
            except (OrderRejected, RecordsRefused, JobNotFound):
                continue  # it will be drawn after nothing
            awaited |= dict.fromkeys(order.reference_ids, job.job_id)
        return awaited

    async def _unless_awaited(self, found: Deletion, awaited: Mapping[int, UUID]) -> Deletion:
        if found.refusal is not None or found.deleted_at is not None or not awaited:
            return found
        used = [
            awaited[image.attach_id]
            async for page in delivered_pages(self._records, found.job_id)
            for image in page
            if image.attach_id in awaited
        ]
        return found.model_copy(update={"refusal": in_use(used[0], used.count(used[0]))}) if used else found

    async def _remove_files(self, job_id: UUID) -> None:
        after: int | None = 0
        while after is not None:
            files, after = await self._records.deleted_files(job_id, after, PAGE)
            await self._delete(files.paths)
        # And thumbnails, and what calls left that came late, or were never settled.
        prefixes = (
            names.thumbnail_prefix(job_id, files.user_id),
            names.staging_prefix(job_id),
            names.image_prefix(job_id, files.user_id),
        )
        for prefix in prefixes:
            await self._delete(await self._storage.keys(prefix))
        await self._delete([] if files.cover is None else [files.cover])
        await self._records.finish_delete(job_id)

    async def _delete(self, paths: Sequence[str]) -> None:
        for first in range(0, len(paths), PAGE):
            await self._storage.delete(paths[first : first + PAGE])
