"""The client: everything that can be done with jobs, for programs, the command line and the API."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import structlog
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError

from darkroom.client import following
from darkroom.client.cancelled_rows import CancelledRows
from darkroom.client.deleting import Deleting, DeletingRecords
from darkroom.client.executions import JobExecutions
from darkroom.client.ordering import Ordering, OrderingRecords, Storing, as_ordered
from darkroom.client.reading import Reading, ReadingRecords
from darkroom.client.results import CheckedOrder, ControlResult, ProgressReading, Submitted
from darkroom.client.steering import Steering, SteeringRecords
from darkroom.client.temporal_faults import explained
from darkroom.client.workers import WorkerWatch
from darkroom.domain.deleting import Deletion
from darkroom.domain.jobs import JobRow
from darkroom.domain.movement import STALLED_AFTER
from darkroom.domain.pick_up import PickUp
from darkroom.domain.progress import Progress
from darkroom.domain.receipts import Receipt
from darkroom.domain.stored import DeliveredImage
from darkroom.orders.intake import Intake
from darkroom.orders.references import NewUpload, Uploads
from darkroom.storage import Storage

log = structlog.get_logger(__name__)


class ClientRecords(OrderingRecords, ReadingRecords, SteeringRecords, DeletingRecords, Protocol):
    """What ordering, reading, steering and deleting need together."""


class Client:
    """Orders jobs, reads them and steers them; keeps no state of its own.

    `darkroom.connect` makes one. Every method may raise `RecordsUnavailable` for a passing outage, and those that
    start or steer a job `temporalio.service.RPCError` when the Temporal server refuses or does not answer.

    Args:
        temporal: None for a client that only checks and reads.
        local_user: the one user of the embedded default; None where users are made elsewhere.
        pick_up: which pending jobs are ours to start, where another worker takes them from the same tables.
        stalled_after: how long nothing may be delivered or missed before a job is said to stall.
        workers: what is known of the workers, where a process keeps it; else each client looks itself.
    """

    def __init__(
        self,
        records: ClientRecords,
        storage: Storage,
        intake: Intake,
        uploads: Uploads,
        temporal: TemporalClient | None,
        *,
        local_user: UUID | None = None,
        pick_up: PickUp = PickUp(),  # noqa: B008 - a value, never changed
        stalled_after: timedelta = STALLED_AFTER,
        workers: WorkerWatch | None = None,
    ) -> None:
        self.local_user = local_user
        """The one user of the embedded default, who pays for what a script orders; None on Supabase."""
        self._records = records
        self._uploads = uploads
        self._executions = JobExecutions(temporal)
        self._ordering = Ordering(records, intake, uploads, self._executions, local_user)
        self._reading = Reading(
            records, storage, self._executions, workers or self._executions.worker_watch(), stalled_after
        )
        self._steering = Steering(records, intake, self._executions, self._reading)
        self._deleting = Deleting(records, storage)
        self._cancelled_rows = CancelledRows(records, self._executions)
        self._pick_up = pick_up

    async def check(
        self,
        document: object,
        user_id: UUID | None,
        references: Sequence[NewUpload] = (),
        *,
        org_id: UUID | None = None,
        own_only: bool = False,
    ) -> CheckedOrder:
        """Check an order against everything that is known; nothing is written.

        The local user needs no account: the order that opens it is checked against its opening balance.

        Args:
            document: the order, as docs/orders.md describes it.
            user_id: whose job it is, and who pays unless an organization does; None for an anonymous, free job.
            references: pictures that are stored when the order is submitted.
            org_id: the organization that pays instead of the user; else the one that the document names.
            own_only: whether the user orders by themselves: then pictures and productions that nobody owns, as old rows
                are, are rejected as those of others are.

        Raises:
            OrderRejected: with the field and the reason.
        """
        return await self._ordering.check(document, user_id, references, org_id, own_only=own_only)

    async def submit(
        self, checked: CheckedOrder, *, job_id: UUID | None = None, storing: Storing | None = None
    ) -> Submitted:
        """Store a checked order as a pending job and start its workflow.

        Args:
            checked: what `check` gave.
            job_id: an id of your own, under which a second submission finds the job; else a new one.
            storing: entered before the job is stored, left before its workflow is started; may refuse the job.
        """
        return await self._ordering.submit(checked, job_id, storing)

    async def find(self, job_id: UUID) -> JobRow | None:
        """The job that was submitted under this id before, if any; pass it to `resubmit`."""
        return await self._records.job(job_id)

    async def resubmit(self, job: JobRow) -> Submitted:
        """Answer a second submission of a job: its workflow is started if a crash prevented that."""
        return await self._ordering.resubmit(job)

    async def reference(self, name: str, data: bytes, stage_index: int | None = None) -> NewUpload:
        """A picture file (PNG, JPEG or WebP) as a reference for `check`; nothing is stored yet.

        Args:
            name: the file's name.
            data: at most 20 MiB.
            stage_index: the stage that is drawn after it; None for all.

        Raises:
            OrderRejected: it is too large, or not a picture.
        """
        return await self._uploads.read(name, data, stage_index)

    async def open_local_account(self) -> None:
        """Give the local user its opening balance, where there is such a user and it has no account yet."""
        await self._ordering.open_local_account()

    async def start_waiting_jobs(self, *, processing: bool = True) -> int:
        """Start every pending or processing job that has no workflow; the number of jobs started.

        First, jobs are cancelled whose row somebody else has set to `cancelled` or `user_cancelled`.

        A processing job without a workflow is rare (a lost `temporal.db`), a pending one is a front end's
        order: without `processing` only those are looked for.

        Safe at any time and from several processes: a run delivers only what is missing, and Temporal
        starts a workflow id once.
        """
        await self._cancelled_rows.cancel()
        started = 0
        for job in await self._records.unfinished_jobs(processing=processing):
            if not self._pick_up.takes(job):
                continue
            try:
                started += await self._executions.start(await as_ordered(self._records, job), restart=False)
            except RPCError as error:
                # One that cannot be started must not keep the others waiting.
                log.warning("job not started", job_id=str(job.job_id), reason=explained(error))
        return started

    async def cancel_by_row(self, job_id: UUID) -> bool:
        """Cancel a job if somebody else has set its row to `cancelled` or `user_cancelled`; whether it was so."""
        return await self._cancelled_rows.cancel(job_id) > 0

    async def job(self, job_id: UUID) -> JobRow:
        """The job's row.

        Raises:
            JobNotFound: no such row.
        """
        return await self._reading.job(job_id)

    async def progress(self, job_id: UUID) -> ProgressReading:
        """A job's progress: while it runs from its workflow, if that answers within 2 s; otherwise from the records.

        Raises:
            JobNotFound: no such job.
        """
        return await self._reading.progress(job_id)

    async def recorded(self, job_id: UUID) -> Progress:
        """A job's progress from the records alone, without asking Temporal.

        Raises:
            JobNotFound: no such job.
        """
        return await self._reading.recorded(job_id)

    async def follow(
        self, job_id: UUID, *, every: float = following.EVERY, unchanged: bool = False
    ) -> AsyncIterator[ProgressReading]:
        """A job's progress at once and after every change; the last reading has ended.

        After a restart it waits for the new run to open.

        Args:
            job_id: the job.
            every: seconds between readings.
            unchanged: whether readings without a change are given too, for displays that show the time.

        Raises:
            JobNotFound: no such job.
        """
        found = following.readings(self._reading, job_id, every)
        async for reading in found if unchanged else following.changes(found):
            yield reading

    async def result(self, job_id: UUID) -> Receipt:
        """Wait for the end of the job's present run; its receipt.

        Raises:
            temporalio.service.RPCError: Temporal does not know the job (any more); see `receipt`.
        """
        receipt: Receipt = await self._executions.handle(job_id).result()
        return receipt if not receipt.more_missing else await self._reading.receipt(job_id)

    async def receipt(self, job_id: UUID) -> Receipt:
        """What an ended job ordered, delivered, missed and charged.

        Raises:
            JobNotFound: no such job.
            NotPossibleNow: it has not ended, or was cancelled before it began.
        """
        return await self._reading.receipt(job_id)

    async def images(self, job_id: UUID) -> tuple[DeliveredImage, ...]:
        """A job's delivered images so far, by stage and ordinal.

        Raises:
            JobNotFound: no such job.
        """
        return await self._reading.images(job_id)

    async def download(self, image: DeliveredImage) -> bytes:
        """The file of a delivered image.

        Raises:
            FileMissing: it is no longer in the storage.
            StorageUnavailable: the storage does not answer now.
        """
        return await self._reading.download(image)

    async def rename(self, job_id: UUID, name: str | None) -> str | None:
        """Give a job another name, or none; gives the name as it is kept.

        Raises:
            JobNotFound: no such job.
            OrderRejected: it is too long, or has line breaks or control characters.
        """
        return await self._steering.rename(job_id, name)

    async def deletion(self, job_id: UUID) -> Deletion:
        """What deleting a job would remove, or has removed; nothing is changed.

        Raises:
            JobNotFound: no such job.
        """
        return await self._deleting.deletion(job_id)

    async def delete(self, job_id: UUID) -> Deletion:
        """Delete an ended job's pictures, prompts and name; its numbers, receipt and journal stay.

        Raises:
            JobNotFound: no such job.
            NotPossibleNow: it has not ended, or its pictures are in use.
        """
        return await self._deleting.delete(job_id)

    async def cancel(self, job_id: UUID, reason: str | None = None) -> ControlResult:
        """Ask a job to stop; answers at once, calls in progress are still delivered.

        Raises:
            JobNotFound: no such job.
            NotPossibleNow: it should run, and Temporal does not know it.
            OrderRejected: the reason has line breaks or control characters.
        """
        return await self._steering.cancel(job_id, reason)

    async def pause(self, job_id: UUID, reason: str | None = None) -> ControlResult:
        """Ask a job to begin no more calls until `resume`; raises as `cancel` does."""
        return await self._steering.pause(job_id, reason)

    async def resume(self, job_id: UUID) -> ControlResult:
        """Lift a pause; raises as `cancel` does."""
        return await self._steering.resume(job_id)

    async def restart(self, job_id: UUID) -> ControlResult:
        """Open an ended job again; the new run delivers only what is missing.

        Raises:
            JobNotFound: no such job.
            NotPossibleNow: it is still running, or nothing is missing.
        """
        return await self._steering.restart(job_id)
