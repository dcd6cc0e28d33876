"""The front desk: what the command line and the API do with jobs."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, Protocol
from uuid import UUID

import structlog
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError

from darkroom.client.executions import JobExecutions
from darkroom.client.results import ControlResult, ProgressReading, Submitted
from darkroom.client.webhooks import announce
from darkroom.contract import PipelineJob
from darkroom.domain.errors import JobNotFound, NotPossibleNow
from darkroom.domain.jobs import CancelRequest, JobRow, NewJob, PauseRequest
from darkroom.domain.model import Value
from darkroom.domain.orders import ReferenceOwner
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt
from darkroom.orders import ReadOrder
from darkroom.orders.intake import Intake
from darkroom.orders.references import NewUpload, Uploads, with_references
from darkroom.records.jobs import JobRecords
from darkroom.records.watching import WatchRecords
from darkroom.records.webhooks import WebhookRecords

log = structlog.get_logger(__name__)

QUERY_DEADLINE = timedelta(seconds=2)
CALL_DEADLINE = timedelta(seconds=10)
"""For what changes something: a server that hangs is an answer too, and soon."""
HIGHEST_ATTACH_ID = 2**31 - 1
"""References that are not stored yet stand under ids counted down from here."""
RESTART_PATIENCE = 10.0
"""Seconds that a restart waits for the run before it to be closed."""


class ClientRecords(JobRecords, WatchRecords, WebhookRecords, Protocol):
    """Jobs, what is read of them, and whom to tell when one is cancelled before it opened."""


class Client:
    """Takes orders and passes wishes on; keeps nothing itself."""

    def __init__(
        self,
        records: ClientRecords,
        intake: Intake,
        uploads: Uploads,
        temporal: TemporalClient | None,
        *,
        pick_up_pending: bool = True,
    ) -> None:
        self._records = records
        self._intake = intake
        self._uploads = uploads
        self._connected = None if temporal is None else JobExecutions(temporal)
        self._pick_up_pending = pick_up_pending
        """Whether pending jobs are ours to start; not so while another worker takes them from the same tables."""

    async def submit(
        self,
        document: dict[str, Any],
        *,
        job_id: UUID,
        user_id: UUID | None,
        references: Sequence[NewUpload] = (),
    ) -> Submitted:
        """Check an order, store it as pending and start its workflow; the same id again finds the job.

        Raises:
            OrderRejected: nothing was stored.
        """
        known = await self._records.job(job_id)
        if known is None:
            read = await self.check(document, user_id, references)
            stored = {await self._uploads.store(upload, user_id): upload for upload in references}
            new = NewJob(
                job_id=job_id,
                job_type=read.order.job_type,
                user_id=user_id,
                production_id=read.order.production_id,
                document=with_references(document, stored),
                total_images=read.order.total_images,
                priority=read.order.priority,
                webhook_url=read.order.webhook_url,
            )
            if await self._records.create_job(new):
                await self._executions().start(await self.job(job_id), restart=False)
                warnings = tuple(f"{key}: is not a known key, ignored" for key in read.unknown_keys)
                return Submitted(job_id=job_id, found=False, total_images=new.total_images, warnings=warnings)
            known = await self.job(job_id)
        if not known.status.ended:
            await self._executions().start(known, restart=False)
        return Submitted(job_id=job_id, found=True, total_images=known.total_images)

    async def check(self, document: object, user_id: UUID | None, references: Sequence[NewUpload] = ()) -> ReadOrder:
        """The order of a document whose references are not stored yet; nothing is written.

        Raises:
            OrderRejected: with the field and the reason.
        """
        promised = {
            attach_id: ReferenceOwner(attach_id=attach_id, user_id=user_id)
            for attach_id in range(HIGHEST_ATTACH_ID, HIGHEST_ATTACH_ID - len(references), -1)
        }
        if isinstance(document, dict):
            document = with_references(document, dict(zip(promised, references, strict=True)))
        return await self._intake.check(document, user_id, promised=promised)

    async def start_waiting_jobs(self, *, processing: bool = True) -> int:
        """Start every pending or processing job whose workflow is not there; how many were started.

        A processing job without a workflow is rare (a lost `temporal.db`), a pending one is a front end's
        order: without `processing` only those are looked for.

        Safe at any time and from several processes: a run delivers only what is missing, and Temporal
        starts a workflow id once.
        """
        started = 0
        for job in await self._records.unfinished_jobs(processing=processing):
            if job.status is JobStatus.PENDING and not self._pick_up_pending:
                continue
            try:
                started += await self._executions().start(job, restart=False)
            except RPCError as error:
                # One that cannot be started must not keep the others waiting.
                log.warning("job not started", job_id=str(job.job_id), reason=str(error)[:200])
        return started

    async def job(self, job_id: UUID) -> JobRow:
        """The job's row.

        Raises:
            JobNotFound: no such row.
        """
        row = await self._records.job(job_id)
        if row is None:
            raise JobNotFound(f"job {job_id} does not exist; `starter.py list` shows those that do")
        return row

    async def cancel(self, job_id: UUID, reason: str | None = None) -> ControlResult:
        """Ask a job to stop; answers at once, the calls under way are still delivered."""
        row = await self.job(job_id)
        if row.status is JobStatus.PENDING and await self._records.cancel_pending(job_id, reason):
            await self._tell_unopened(job_id)
            return _answer(await self.job(job_id), success=True, message="Job cancelled successfully")
        row = await self.job(job_id)
        if row.status.ended:
            return _answer(row, success=False, message=f"Job is {row.status} already")
        if (await self.progress(job_id)).progress.cancel_requested:
            return _answer(row, success=False, message="Job is being cancelled already")
        if not await self._signal(row, PipelineJob.cancel, CancelRequest(reason=reason)):
            return _answer(await self.job(job_id), success=False, message="Job has just ended")
        return _answer(row, success=True, message="Job cancelled successfully")

    async def _tell_unopened(self, job_id: UUID) -> None:
        """No workflow tells this end. A front end's row names nobody before its order is read, so it is read."""
        source = await self._records.order_source(job_id)
        url = await self._intake.webhook_of(source.document)
        if url is not None:
            await self._records.keep_webhook(job_id, url)
        if self._connected is not None:
            await announce(self._records, self._connected.temporal, job_id, None)

    async def pause(self, job_id: UUID, reason: str | None = None) -> ControlResult:
        """Ask a job to begin nothing more until `resume`."""
        row = await self.job(job_id)
        if row.status.ended:
            return _answer(row, success=False, message=f"Job is {row.status} already")
        if (await self.progress(job_id)).progress.paused:
            return _answer(row, success=False, message="Job is paused already")
        sent = await self._signal(row, PipelineJob.pause, PauseRequest(reason=reason))
        return _answer(row, success=sent, message="Job paused" if sent else "Job has just ended")

    async def resume(self, job_id: UUID) -> ControlResult:
        """Lift a pause."""
        row = await self.job(job_id)
        if row.status.ended:
            return _answer(row, success=False, message=f"Job is {row.status}; restart it instead")
        if not (await self.progress(job_id)).progress.paused:
            return _answer(row, success=False, message="Job is not paused; nothing to resume")
        sent = await self._signal(row, PipelineJob.resume)
        return _answer(row, success=sent, message="Job resumed" if sent else "Job has just ended")

    async def restart(self, job_id: UUID) -> ControlResult:
        """Open an ended job again; the new run delivers only what is missing.

        Raises:
            NotPossibleNow: it is still running, or nothing is missing.
        """
        deadline = monotonic() + RESTART_PATIENCE
        while True:
            row = await self.job(job_id)
            if row.status is JobStatus.COMPLETED and row.failed_images == 0:
                raise NotPossibleNow(
                    f"job {job_id} delivered all {row.total_images} images; nothing is left to restart"
                )
            if await self._executions().start(row, restart=True):
                return _answer(row, success=True, message="Job restarted")
            # The row is closed a moment before the workflow that closed it, and opened a moment after another
            # restart has started one.
            if not row.status.ended or monotonic() > deadline:
                raise NotPossibleNow(f"job {job_id} is still {row.status}; cancel it first, or wait for its end")
            await asyncio.sleep(0.1)

    async def progress(self, job_id: UUID) -> ProgressReading:
        """The job as it stands: from its workflow within 2 s, else from the records."""
        recorded = await self._records.progress(job_id)
        if recorded is None:
            raise JobNotFound(f"job {job_id} does not exist; `starter.py list` shows those that do")
        told = None
        if self._connected is not None and not recorded.status.ended:
            told = await self._connected.progress(job_id)
        if told is None or told.status is JobStatus.PENDING:
            # The records know what is settled.
            return ProgressReading(progress=recorded, source="records")
        return ProgressReading(progress=told, source="workflow")

    async def result(self, job_id: UUID) -> Receipt:
        """Wait for the end of the job's present run."""
        receipt: Receipt = await self._executions().handle(job_id).result()
        return receipt

    async def _signal(self, job: JobRow, signal: Callable[..., None], *payload: Value) -> bool:
        """Send a signal; False when the run has ended meanwhile.

        Raises:
            NotPossibleNow: the records say that it runs, and Temporal does not know it.
        """
        if await self._executions().signal(job, signal, *payload):
            return True
        if (await self.job(job.job_id)).status.ended:
            return False
        raise NotPossibleNow(
            f"job {job.job_id} is {job.status}, but this Temporal server has no running workflow of it; "
            "`starter.py up` starts such jobs again, `starter.py restart` opens one whose workflow was terminated"
        )

    def _executions(self) -> JobExecutions:
        assert self._connected is not None, "this command connects to Temporal first"
        return self._connected


def _answer(row: JobRow, *, success: bool, message: str) -> ControlResult:
    return ControlResult(
        success=success,
        message=message,
        job_id=row.job_id,
        status=row.status,
        completed_images=row.completed_images,
        total_images=row.total_images,
    )
