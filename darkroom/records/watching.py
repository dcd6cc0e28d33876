"""The records as they are read."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from darkroom.domain.jobs import JobRow
from darkroom.domain.movement import Movement, RecentCalls
from darkroom.domain.orders import Stage
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.receipts import Receipt
from darkroom.domain.snapshots import DeliveryMark, JobSnapshot
from darkroom.domain.statistics import Statistics
from darkroom.domain.stored import DeliveredImage


class WatchRecords(Protocol):
    """Jobs, and what came of them; nothing here changes anything."""

    async def jobs(self, status: JobStatus | None, limit: int) -> Sequence[JobRow]:
        """Jobs, newest first."""
        ...

    async def stage(self, job_id: UUID, stage_index: int) -> Stage:
        """One stored stage with its prompt and references.

        Raises:
            JobNotFound: no such stage.
        """
        ...

    async def stages(self, job_id: UUID) -> Sequence[Stage]:
        """All stored stages of a job, in order; none before it first opened."""
        ...

    async def progress(self, job_id: UUID) -> Progress | None:
        """Progress as the records know it."""
        ...

    async def snapshot(self, job_id: UUID, after: DeliveryMark | None, limit: int) -> JobSnapshot | None:
        """A job as those see it who watch it; with at most `limit` pictures behind the mark. None without a row."""
        ...

    async def movement(self, job_id: UUID, since: datetime) -> Movement | None:
        """Whether a job moves, with the number of images delivered since a moment. None without a row."""
        ...

    async def recent_calls(self, since: datetime) -> Sequence[RecentCalls]:
        """How the calls of all jobs ended that began since a moment, by provider."""
        ...

    async def delivered_images(self, job_id: UUID | None, after: int, limit: int) -> Sequence[DeliveredImage]:
        """Delivered images with an attach_id above `after`, ascending; of one job, or of all."""
        ...

    async def receipt(self, job_id: UUID) -> Receipt | None:
        """The receipt of the job's last closed run."""
        ...

    async def statistics(self, since: date) -> Statistics:
        """What providers did and how jobs ended, by day, from the beginning of a day (UTC) on."""
        ...
