"""Reading jobs: how they stand, and what came of them."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from darkroom.client.executions import JobExecutions
from darkroom.client.results import ProgressReading
from darkroom.client.workers import WorkerWatch
from darkroom.domain.errors import FileMissing, JobNotFound, NotPossibleNow
from darkroom.domain.jobs import JobRow
from darkroom.domain.movement import PACE_OVER, with_movement
from darkroom.domain.progress import JobStatus, Progress, caught_up, trails
from darkroom.domain.receipts import Receipt
from darkroom.domain.stored import DeliveredImage
from darkroom.records.jobs import JobRecords
from darkroom.records.paging import delivered_pages
from darkroom.records.watching import WatchRecords
from darkroom.storage import Storage


class ReadingRecords(JobRecords, WatchRecords, Protocol):
    """Jobs, and what came of them."""


class Reading:
    """Answers from the records and the storage, and from the workflow where one answers."""

    def __init__(
        self,
        records: ReadingRecords,
        storage: Storage,
        executions: JobExecutions,
        workers: WorkerWatch,
        stalled_after: timedelta,
    ) -> None:
        self._records = records
        self._storage = storage
        self._executions = executions
        self._workers = workers
        self._stalled_after = stalled_after

    async def job(self, job_id: UUID) -> JobRow:
        row = await self._records.job(job_id)
        if row is None:
            raise not_found(job_id)
        return row

    async def progress(self, job_id: UUID) -> ProgressReading:
        recorded = await self._records.progress(job_id)
        if recorded is None:
            raise not_found(job_id)
        if recorded.status.ended:
            return ProgressReading(progress=recorded, source="records")
        if recorded.status is JobStatus.PENDING:
            # Its workflow knows nothing yet; where many jobs wait to be opened, asking it would take until it begins.
            return ProgressReading(progress=await self._of_now(recorded, await self._workers.look()), source="records")
        told, lacking = await asyncio.gather(self._executions.progress(job_id), self._workers.look())
        if told is None or told.status is JobStatus.PENDING:
            # The records know what is settled.
            return ProgressReading(progress=await self._of_now(recorded, lacking), source="records")
        if trails(told, recorded):
            # Read again: what is settled by now holds all that the workflow told of.
            recorded = await self._records.progress(job_id) or recorded
            if recorded.status.ended:
                return ProgressReading(progress=recorded, source="records")
            told = caught_up(told, recorded)
        return ProgressReading(progress=await self._of_now(told, lacking), source="workflow")

    async def recorded(self, job_id: UUID) -> Progress:
        """A job's progress from the records alone."""
        recorded = await self._records.progress(job_id)
        if recorded is None:
            raise not_found(job_id)
        return await self._of_now(recorded, ())

    async def _of_now(self, progress: Progress, lacking: Collection[str]) -> Progress:
        """With what only the attempts' rows, the clock and the task queues tell."""
        if progress.status.ended:
            return progress
        now = datetime.now(UTC)
        movement = await self._records.movement(progress.job_id, now - PACE_OVER)
        if movement is None:
            return progress
        return with_movement(progress, movement, now, self._stalled_after, lacking)

    async def opens_again(self, job_id: UUID) -> bool:
        """Whether a restart has started an execution that has not opened the ended job yet."""
        row = await self.job(job_id)
        runs = await self._executions.running(job_id) if row.status.ended else ()
        return bool(runs) and row.run_id not in runs

    async def receipt(self, job_id: UUID) -> Receipt:
        row = await self.job(job_id)
        if not row.status.ended:
            raise NotPossibleNow(f"job {job_id} is {row.status}: its receipt is available when it ends")
        found = await self._records.receipt(job_id)
        if found is None:
            raise NotPossibleNow(f"job {job_id} was {row.status} before it started: it has no receipt")
        return found

    async def images(self, job_id: UUID) -> tuple[DeliveredImage, ...]:
        await self.job(job_id)
        found = [image async for page in delivered_pages(self._records, job_id) for image in page]
        return tuple(sorted(found, key=lambda image: (image.stage_index, image.ordinal)))

    async def download(self, image: DeliveredImage) -> bytes:
        data = await self._storage.get(image.path)
        if data is None:
            raise FileMissing(f"the file of image {image.attach_id} of job {image.job_id} is gone: {image.path}")
        return data


def not_found(job_id: UUID) -> JobNotFound:
    """No such row."""
    return JobNotFound(f"job {job_id} does not exist; `darkroom list` shows those that do")
