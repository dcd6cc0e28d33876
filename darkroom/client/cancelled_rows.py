"""Jobs that back ends cancel by writing their row: their workflows are told; a job without one is closed."""

from typing import Protocol
from uuid import UUID

import structlog
from temporalio.service import RPCError

from darkroom.client.executions import JobExecutions
from darkroom.client.temporal_faults import explained
from darkroom.client.webhooks import announce
from darkroom.contract import PipelineJob
from darkroom.domain.errors import DarkroomError, RunRefused
from darkroom.domain.jobs import CancelRequest, CloseRun, End, JobRow
from darkroom.records.jobs import JobRecords
from darkroom.records.webhooks import WebhookRecords

REASON = "cancelled by its row"

log = structlog.get_logger(__name__)


class CancelledRowRecords(JobRecords, WebhookRecords, Protocol):
    """Jobs, and whom to notify when nobody else closes one."""


class CancelledRows:
    """Makes of a row that says cancelled what the signal makes; safe at any time, and from several processes."""

    def __init__(self, records: CancelledRowRecords, executions: JobExecutions) -> None:
        self._records = records
        self._executions = executions

    async def cancel(self, job_id: UUID | None = None) -> int:
        """Cancel the jobs whose row somebody else has set to cancelled, all of them or this one; how many there were.

        One that cannot be cancelled now does not keep the others waiting: the next look finds it.

        Raises:
            RecordsUnavailable: they cannot be read now.
        """
        found = await self._records.cancelled_rows(job_id)
        for job in found:
            try:
                await self._cancel(job)
            except RPCError as error:
                log.warning("job not cancelled", job_id=str(job.job_id), reason=explained(error))
            except DarkroomError as error:
                log.warning("job not cancelled", job_id=str(job.job_id), reason=str(error))
        return len(found)

    async def _cancel(self, job: JobRow) -> None:
        if await self._executions.signal(job, PipelineJob.cancel, CancelRequest(reason=REASON)):
            log.info("job cancelled by its row", job_id=str(job.job_id))
            return
        assert job.run_id is not None, "its run is open"
        try:
            close = CloseRun(job_id=job.job_id, run_id=job.run_id, end=End.CANCELLED)
            await self._records.close_run(close)
        except RunRefused:
            return  # another run was quicker
        log.warning("job closed, which its row had cancelled and no workflow had", job_id=str(job.job_id))
        if self._executions.temporal is not None:
            await announce(self._records, self._executions.temporal, job.job_id, job.run_id)
