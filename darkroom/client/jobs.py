"""The client: what the command line and the API do with jobs."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import structlog
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowHandle
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from darkroom.client.results import ControlResult, ProgressReading, Submitted
from darkroom.client.webhooks import announce
from darkroom.contract import PipelineJob
from darkroom.domain.errors import JobNotFound, NotPossibleNow
from darkroom.domain.jobs import CancelRequest, JobInput, JobRow, NewJob, PauseRequest
from darkroom.domain.model import Value
from darkroom.domain.names import SearchAttribute, TaskQueue, job_workflow_id
from darkroom.domain.orders import ReferenceOwner
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt
from darkroom.orders import ReadOrder
from darkroom.orders.intake import Intake
from darkroom.orders.references import NewUpload, Uploads, with_references
from darkroom.records import Records

log = structlog.get_logger(__name__)

QUERY_DEADLINE = timedelta(seconds=2)
CALL_DEADLINE = timedelta(seconds=10)
"""For requests that change something: a server that hangs is reported soon."""
HIGHEST_ATTACH_ID = 2**31 - 1
"""References that are not stored yet stand under ids counted down from here."""
RESTART_PATIENCE = 10.0
"""Seconds that a restart waits for the run before it to be closed."""


class Client:
    """Takes orders and sends requests to jobs; keeps no state of its own."""

    def __init__(
        self,
        records: Records,
        intake: Intake,
        uploads: Uploads,
        temporal: TemporalClient | None,
        *,
        pick_up_pending: bool = True,
    ) -> None:
        self._records = records
        self._intake = intake
        self._uploads = uploads
        self._temporal_client = temporal
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
                await self._start(await self.job(job_id), restart=False)
                warnings = tuple(f"{key}: unknown key, ignored" for key in read.unknown_keys)
                return Submitted(job_id=job_id, found=False, total_images=new.total_images, warnings=warnings)
            known = await self.job(job_id)
        if not known.status.ended:
            await self._start(known, restart=False)
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
                started += await self._start(job, restart=False)
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
            raise JobNotFound(f"job {job_id} does not exist; `darkroom list` shows those that do")
        return row

    async def cancel(self, job_id: UUID, reason: str | None = None) -> ControlResult:
        """Cancel a job; returns immediately, and calls in progress are still delivered."""
        row = await self.job(job_id)
        if row.status is JobStatus.PENDING and await self._records.cancel_pending(job_id, reason):
            await self._announce_unopened(job_id)
            return _answer(await self.job(job_id), success=True, message="Job cancelled successfully")
        row = await self.job(job_id)
        if row.status.ended:
            return _answer(row, success=False, message=f"Job is already {row.status}")
        if (await self.progress(job_id)).progress.cancel_requested:
            return _answer(row, success=False, message="Job is already being cancelled")
        if not await self._signal(row, PipelineJob.cancel, CancelRequest(reason=reason)):
            return _answer(await self.job(job_id), success=False, message="Job has just ended")
        return _answer(row, success=True, message="Job cancelled successfully")

    async def _announce_unopened(self, job_id: UUID) -> None:
        """Send the webhook of a job without a workflow. A front end's row has no URL until its order is read."""
        source = await self._records.order_source(job_id)
        url = await self._intake.webhook_of(source.document)
        if url is not None:
            await self._records.keep_webhook(job_id, url)
        if self._temporal_client is not None:
            await announce(self._records, self._temporal_client, job_id, None)

    async def pause(self, job_id: UUID, reason: str | None = None) -> ControlResult:
        """Pause a job until `resume`; calls in progress are still delivered."""
        row = await self.job(job_id)
        if row.status.ended:
            return _answer(row, success=False, message=f"Job is already {row.status}")
        if (await self.progress(job_id)).progress.paused:
            return _answer(row, success=False, message="Job is already paused")
        sent = await self._signal(row, PipelineJob.pause, PauseRequest(reason=reason))
        return _answer(row, success=sent, message="Job paused" if sent else "Job has just ended")

    async def resume(self, job_id: UUID) -> ControlResult:
        """Resume a paused job."""
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
            if await self._start(row, restart=True):
                return _answer(row, success=True, message="Job restarted")
            # The row is closed a moment before the workflow that closed it, and opened a moment after another
            # restart has started one.
            if not row.status.ended or monotonic() > deadline:
                raise NotPossibleNow(f"job {job_id} is still {row.status}; cancel it first, or wait until it ends")
            await asyncio.sleep(0.1)

    async def progress(self, job_id: UUID) -> ProgressReading:
        """The job as it stands: from its workflow within 2 s, else from the records."""
        recorded = await self._records.progress(job_id)
        if recorded is None:
            raise JobNotFound(f"job {job_id} does not exist; `darkroom list` shows those that do")
        if self._temporal_client is None or recorded.status.ended:
            return ProgressReading(progress=recorded, source="records")
        try:
            # The client tries again after a deadline that the server was the first to notice, with as long a one.
            async with asyncio.timeout(QUERY_DEADLINE.total_seconds()):
                queried = await self._handle(job_id).query(PipelineJob.progress, rpc_timeout=QUERY_DEADLINE)
        except (RPCError, TimeoutError):
            # No worker, no such workflow, or no server: the records know what is settled.
            return ProgressReading(progress=recorded, source="records")
        if queried.status is JobStatus.PENDING:
            return ProgressReading(progress=recorded, source="records")
        return ProgressReading(progress=queried, source="workflow")

    async def result(self, job_id: UUID) -> Receipt:
        """Wait for the end of the job's present run."""
        receipt: Receipt = await self._handle(job_id).result()
        return receipt

    async def _start(self, job: JobRow, *, restart: bool) -> bool:
        """Start the workflow; False when it is running, or, without `restart`, has run before."""
        known = {SearchAttribute.JOB_STATUS: JobStatus.PENDING.value}
        if job.job_type:
            known[SearchAttribute.JOB_TYPE] = job.job_type
        if job.user_id:
            known[SearchAttribute.USER_ID] = str(job.user_id)
        attributes = [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in known.items()]
        reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE if restart else WorkflowIDReusePolicy.REJECT_DUPLICATE
        try:
            await self._temporal().start_workflow(
                PipelineJob.run,
                JobInput(job_id=job.job_id, restart=restart),
                id=job_workflow_id(job.job_id),
                task_queue=TaskQueue.ORCHESTRATE,
                id_reuse_policy=reuse,
                # FAIL rather than USE_EXISTING, to learn whether it was there; found is no error here.
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                search_attributes=TypedSearchAttributes(attributes),
                static_summary=f"{job.job_type or 'order'} · {job.total_images} images",
                priority=Priority(priority_key=job.priority, fairness_key=str(job.user_id or job.job_id)),
                rpc_timeout=CALL_DEADLINE,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def _signal(self, job: JobRow, signal: Callable[..., None], *payload: Value) -> bool:
        """Send a signal; False when the run has ended meanwhile.

        Raises:
            NotPossibleNow: the records say that it runs, and Temporal does not know it.
        """
        try:
            await self._handle(job.job_id).signal(signal, args=payload, rpc_timeout=CALL_DEADLINE)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            if (await self.job(job.job_id)).status.ended:
                return False
            raise NotPossibleNow(
                f"job {job.job_id} is {job.status}, but this Temporal server has no running workflow for it; "
                f"`darkroom up` starts it again, or `darkroom restart {job.job_id}` if it was terminated"
            ) from error
        return True

    def _handle(self, job_id: UUID) -> WorkflowHandle[PipelineJob, Receipt]:
        return self._temporal().get_workflow_handle_for(PipelineJob.run, job_workflow_id(job_id))

    def _temporal(self) -> TemporalClient:
        assert self._temporal_client is not None, "this command connects to Temporal first"
        return self._temporal_client


def _answer(row: JobRow, *, success: bool, message: str) -> ControlResult:
    return ControlResult(
        success=success,
        message=message,
        job_id=row.job_id,
        status=row.status,
        completed_images=row.completed_images,
        total_images=row.total_images,
    )
