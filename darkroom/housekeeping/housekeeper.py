"""Finds and repairs what crashes and terminated workflows leave behind."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import structlog
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from darkroom.client.deleting import Deleting, DeletingRecords
from darkroom.client.stuck_workflows import stuck_workflows
from darkroom.client.webhooks import announce
from darkroom.domain.errors import NotPossibleNow, RecordsRefused, RunRefused
from darkroom.domain.housekeeping import Tidied
from darkroom.domain.jobs import CloseRun, End, JobRow, StartRun
from darkroom.domain.money import Terms
from darkroom.domain.names import STAGING, job_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.housekeeping.leftovers import LeftoverRecords, remove_leftovers
from darkroom.records.money import MoneyRecords
from darkroom.records.webhooks import WebhookRecords
from darkroom.storage import Storage

KEEP_FAILED = timedelta(days=30)
"""How long the generated pictures of a failed job wait for a restart (spec §3)."""

PURGED_AT_ONCE = 1_000
"""Jobs that one run deletes; the next one goes on."""

LATE = timedelta(days=1)
LATEST = 1_000
"""How long after a job's end, and in how many of the newest jobs, pictures are looked for that came late."""

_ENDED_FROM_OUTSIDE = {
    WorkflowExecutionStatus.TERMINATED: "its workflow was terminated in Temporal",
    WorkflowExecutionStatus.TIMED_OUT: "its workflow timed out in Temporal",
    WorkflowExecutionStatus.FAILED: "its workflow failed in Temporal",
    WorkflowExecutionStatus.CANCELED: "its workflow ended without closing it",
    WorkflowExecutionStatus.COMPLETED: "its workflow ended without closing it",
}

log = structlog.get_logger("darkroom.housekeeping.housekeeper")


class HousekeepingRecords(DeletingRecords, MoneyRecords, WebhookRecords, LeftoverRecords, Protocol):
    """Jobs that no workflow closes, and everything they may leave behind."""


class Housekeeper:
    """Repairs jobs that no workflow handles any more; safe at any time, and from several processes."""

    def __init__(
        self, records: HousekeepingRecords, storage: Storage, client: Client, keep_pictures: timedelta | None = None
    ) -> None:
        self._records = records
        self._storage = storage
        self._client = client
        self._deleting = Deleting(records, storage)
        self._keep_pictures = keep_pictures

    async def tidy(self) -> Tidied:
        """Repair what can be repaired, and report the rest.

        Raises:
            RecordsUnavailable: and the like; the next run finds the rest.
        """
        failed = await self._fail_abandoned_jobs()
        holds = await self._records.release_ended_holds()
        for job_id in holds:
            log.warning("hold of an ended job released", job_id=str(job_id))
        removed = await self._remove_staged()
        deletes = await self._deleting.finish_interrupted()
        purged = await self._purge()
        findings = await self._records.audit()
        for finding in findings:
            log.error("audit finding", finding=finding)
        stuck = await stuck_workflows(self._client) or []
        for one in stuck:
            log.error("workflow stuck", workflow_id=one.workflow_id, reason=one.reason, remedy=one.remedy)
        return Tidied(
            failed_jobs=failed,
            released_holds=len(holds),
            removed_objects=removed,
            finished_deletes=deletes,
            purged_jobs=purged,
            findings=len(findings),
            stuck_workflows=len(stuck),
        )

    async def _purge(self) -> int:
        """Delete jobs that ended longer ago than pictures are kept; the next run goes on with the rest."""
        if self._keep_pictures is None:
            return 0
        purged = 0
        async for found in self._deleting.ended_before(datetime.now(UTC) - self._keep_pictures):
            if found.refusal is not None:
                log.info("job kept", job_id=str(found.job_id), reason=found.refusal)
                continue
            try:
                await self._deleting.delete(found.job_id)
            except (NotPossibleNow, RecordsRefused) as error:
                log.info("job kept", job_id=str(found.job_id), reason=str(error))
                continue
            log.info("job purged", job_id=str(found.job_id), pictures=found.pictures, bytes=found.bytes)
            purged += 1
            if purged == PURGED_AT_ONCE:
                break
        return purged

    async def _fail_abandoned_jobs(self) -> int:
        """Rows whose workflow was ended from outside, so that nobody would ever close them."""
        failed = 0
        for listed in await self._records.unfinished_jobs():
            try:
                failed += await self._fail_if_abandoned(listed)
            except RecordsRefused as error:
                # One job that cannot be read or closed must not keep the others from it.
                log.warning("job not repaired", job_id=str(listed.job_id), reason=str(error))
        return failed

    async def _fail_if_abandoned(self, listed: JobRow) -> bool:
        ended = await self._ended_from_outside(listed)
        # Read again: most workflows that have ended meanwhile closed their job before. What is closed is the run that
        # was seen before its workflow was found ended: a restart may have opened another one since.
        job = await self._records.job(listed.job_id) if ended else None
        if ended is None or job is None or job.status.ended or job.run_id != listed.run_id:
            return False
        cause = _ENDED_FROM_OUTSIDE[ended.status] if ended.status else "its workflow has ended"
        reason = f"{cause}; `darkroom restart {job.job_id}` makes what is missing"
        failed = await self._fail(job, ended, reason)
        if failed:
            log.warning("job marked failed", job_id=str(job.job_id), reason=cause)
        return failed

    async def _ended_from_outside(self, job: JobRow) -> WorkflowExecutionDescription | None:
        try:
            found = await self._client.get_workflow_handle(job_workflow_id(job.job_id)).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None  # whoever looks for waiting jobs starts it
            raise
        return found if found.status in _ENDED_FROM_OUTSIDE else None

    async def _fail(self, job: JobRow, ended: WorkflowExecutionDescription, reason: str) -> bool:
        run_id = job.run_id
        if job.status is JobStatus.PENDING or run_id is None:
            # Nothing opened it; it is opened and closed under the run that was ended.
            run_id = ended.run_id
            start = StartRun(job_id=job.job_id, run_id=run_id, started_at=ended.start_time, restart=False)
            opened = await self._records.open_run(start, None, _NO_TERMS, reason)
            if opened.superseded is not None:
                return False
        try:
            close = CloseRun(job_id=job.job_id, run_id=run_id, end=End.FAILED, error_message=reason)
            receipt = await self._records.close_run(close)
        except RunRefused:
            return False  # a restart was quicker
        await announce(self._records, self._client, job.job_id, run_id)
        return receipt.status is JobStatus.FAILED

    async def _remove_staged(self) -> int:
        removed = 0
        failed_before = datetime.now(UTC) - KEEP_FAILED
        staged = set(_jobs_of(await self._storage.keys(STAGING)))
        for job_id in sorted(staged | await self._with_lost_calls()):
            try:
                removed += await self._remove_leftovers(job_id, failed_before)
            except RecordsRefused as error:
                log.warning("leftovers stay", job_id=str(job_id), reason=str(error))
        return removed

    async def _with_lost_calls(self) -> set[UUID]:
        """Jobs that ended lately while a call had no outcome: its worker may have come back and written its picture."""
        since = datetime.now(UTC) - LATE
        found = set()
        for job in await self._records.jobs(None, LATEST):
            if job.status.ended and job.updated_at > since:
                receipt = await self._records.receipt(job.job_id)
                if receipt is not None and receipt.total.unknown_calls:
                    found.add(job.job_id)
        return found

    async def _remove_leftovers(self, job_id: UUID, failed_before: datetime) -> int:
        job = await self._records.job(job_id)
        if job is None or job.run_id is None:
            return 0
        if not await self._records.may_remove_leftovers(job_id, job.run_id, failed_before):
            return 0  # it runs, or waits for a restart; nobody need look through thousands of files for that
        gone = await remove_leftovers(
            self._records, self._storage, job_id, job.run_id, job.user_id, failed_before=failed_before
        )
        if gone:
            log.info("leftovers removed", job_id=str(job_id), objects=gone)
        return gone


_NO_TERMS = Terms(unit_price=0, max_top_ups=0, providers=())
"""For a run that can only fail; it stores no order."""


def _jobs_of(keys: Sequence[str]) -> Iterator[UUID]:
    for key in keys:
        try:
            yield UUID(key.split("/")[1])
        except ValueError:
            continue  # not one of a job's
