"""Steering jobs: cancel, pause, resume, restart."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol
from uuid import UUID

from darkroom.client.executions import JobExecutions
from darkroom.client.ordering import as_ordered
from darkroom.client.reading import Reading
from darkroom.client.results import ControlResult
from darkroom.client.webhooks import announce
from darkroom.contract import PipelineJob
from darkroom.domain.clean_text import refuse_unclean
from darkroom.domain.deleting import DELETED
from darkroom.domain.errors import NotPossibleNow, OrderRejected
from darkroom.domain.job_names import checked_name
from darkroom.domain.jobs import CancelRequest, JobRow, NumberedRequest, PauseRequest, Request, ResumeRequest
from darkroom.domain.model import Value
from darkroom.domain.progress import JobStatus
from darkroom.domain.restarting import why_no_restart
from darkroom.orders.intake import Intake
from darkroom.records.finding import FindRecords
from darkroom.records.jobs import JobRecords
from darkroom.records.webhooks import WebhookRecords

RESTART_PATIENCE = 10.0
"""Seconds that a restart waits for the run before it to be closed."""


class SteeringRecords(JobRecords, FindRecords, WebhookRecords, Protocol):
    """Jobs, and whom to notify when one is cancelled before it opened."""


class Steering:
    """Passes requests on to the workflows of jobs."""

    def __init__(self, records: SteeringRecords, intake: Intake, executions: JobExecutions, reading: Reading) -> None:
        self._records = records
        self._intake = intake
        self._executions = executions
        self._reading = reading

    async def rename(self, job_id: UUID, name: str | None) -> str | None:
        try:
            kept = checked_name(name)
        except ValueError as error:
            raise OrderRejected("name", str(error)) from None
        if (await self._reading.job(job_id)).deleted_at is not None:
            raise NotPossibleNow(f"job {job_id} {DELETED}")
        await self._records.rename_job(job_id, kept)
        return kept

    async def cancel(self, job_id: UUID, reason: str | None) -> ControlResult:
        _ensure_clean(reason)
        row = await self._reading.job(job_id)
        if row.status is JobStatus.PENDING and await self._records.cancel_pending(job_id, reason):
            await self._announce_unopened(job_id)
            return _result(await self._reading.job(job_id), success=True, message="Job cancelled successfully")
        taken = await self._records.take_request(job_id, Request.CANCEL, reason)
        payload = CancelRequest(reason=reason, number=taken.number)
        return await self._pass_on(
            job_id, taken, PipelineJob.cancel, payload, "Job cancelled successfully", "Job is already being cancelled"
        )

    async def pause(self, job_id: UUID, reason: str | None) -> ControlResult:
        _ensure_clean(reason)
        taken = await self._records.take_request(job_id, Request.PAUSE, reason)
        payload = PauseRequest(reason=reason, number=taken.number)
        return await self._pass_on(job_id, taken, PipelineJob.pause, payload, "Job paused", "Job is already paused")

    async def resume(self, job_id: UUID) -> ControlResult:
        taken = await self._records.take_request(job_id, Request.RESUME, None)
        payload = ResumeRequest(number=taken.number)
        return await self._pass_on(
            job_id, taken, PipelineJob.resume, payload, "Job resumed", "Job is not paused; nothing to resume"
        )

    async def restart(self, job_id: UUID) -> ControlResult:
        deadline = monotonic() + RESTART_PATIENCE
        while True:
            row = await self._reading.job(job_id)
            if row.deleted_at is not None:
                raise NotPossibleNow(f"job {job_id} {DELETED}")
            why_not = why_no_restart((await self._reading.progress(job_id)).progress) if row.status.ended else None
            if why_not is not None:
                raise NotPossibleNow(f"job {job_id} {why_not}")
            if await self._executions.start(await as_ordered(self._records, row), restart=True):
                return _result(row, success=True, message="Job restarted")
            if not row.status.ended:
                raise NotPossibleNow(f"job {job_id} is still {row.status}; cancel it first, or wait until it ends")
            # The row is closed a moment before the workflow that closed it, and opened a moment after another
            # restart has started one.
            if monotonic() > deadline and not await self._end_cleaning(row):
                raise NotPossibleNow(f"job {job_id} is already being restarted")
            await asyncio.sleep(0.1)

    async def _pass_on(  # noqa: PLR0917 - a request, its signal and what is said of it
        self,
        job_id: UUID,
        taken: NumberedRequest,
        signal: Callable[..., None],
        payload: Value,
        done: str,
        nothing_new: str,
    ) -> ControlResult:
        """Send a request whatever the records say of the job: they may trail behind the workflow."""
        row = await self._reading.job(job_id)
        if taken.number is None:
            ended = _ended(row, signal) if row.status.ended else "Job is already being cancelled"
            return _result(row, success=False, message=ended)
        if not await self._signal(row, taken.number, signal, payload):
            return _result(await self._reading.job(job_id), success=False, message="Job has just ended")
        return _result(row, success=taken.changed, message=done if taken.changed else _nothing_new(row, nothing_new))

    async def _end_cleaning(self, row: JobRow) -> bool:
        """End the workflow of the job's closed run, which cleans up; whether it was that one.

        Its end is announced, unless it was; what it leaves is nobody's, and housekeeping removes it.
        """
        running = await self._executions.running(row.job_id)
        if running and row.run_id not in running:
            return False
        if running and self._executions.temporal is not None:
            await announce(self._records, self._executions.temporal, row.job_id, row.run_id)
            await self._executions.end_cleaning(row.job_id, running[0])
        return True

    async def _announce_unopened(self, job_id: UUID) -> None:
        """Start the webhook of a job that no workflow closes.

        A front end's row names no receiver before its order is read, so it is read here.
        """
        source = await self._records.order_source(job_id)
        url = await self._intake.webhook_of(source.document)
        if url is not None:
            await self._records.keep_webhook(job_id, url)
        if self._executions.temporal is not None:
            await announce(self._records, self._executions.temporal, job_id, None)

    async def _signal(self, job: JobRow, number: int, signal: Callable[..., None], payload: Value) -> bool:
        """Send a request; False when the run has ended meanwhile.

        Raises:
            NotPossibleNow: the records say that it runs, and Temporal does not know it.
        """
        if await self._executions.signal(job, signal, payload):
            return True
        await self._records.withdraw_request(job.job_id, number)
        if (await self._reading.job(job.job_id)).status.ended:
            return False
        raise NotPossibleNow(
            f"job {job.job_id} is {job.status}, but this Temporal server has no running workflow of it; "
            f"`darkroom up` starts such jobs again, `darkroom restart {job.job_id}` one that was terminated"
        )


def _ended(row: JobRow, signal: Callable[..., None]) -> str:
    if signal is PipelineJob.resume:
        return f"Job is {row.status}; restart it instead"
    return f"Job is already {row.status}"


def _nothing_new(row: JobRow, otherwise: str) -> str:
    return "Job is already being cancelled" if row.cancel_requested else otherwise


def _ensure_clean(reason: str | None) -> None:
    """Refuse a reason that could not be shown as it is.

    Raises:
        OrderRejected: with what is wrong with it.
    """
    try:
        refuse_unclean(reason or "")
    except ValueError as error:
        raise OrderRejected("reason", str(error)) from None


def _result(row: JobRow, *, success: bool, message: str) -> ControlResult:
    return ControlResult(
        success=success,
        message=message,
        job_id=row.job_id,
        status=row.status,
        completed_images=row.completed_images,
        total_images=row.total_images,
    )
