"""The workflow executions of jobs: started once per run, signalled and queried."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID
from weakref import WeakKeyDictionary

from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
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

from darkroom.client.workers import WorkerWatch
from darkroom.contract import PipelineJob
from darkroom.domain.clean_text import as_markdown
from darkroom.domain.errors import ServerNotReachable
from darkroom.domain.jobs import GENERATION, JobInput, JobRow, NewJob
from darkroom.domain.model import Value
from darkroom.domain.names import SearchAttribute, TaskQueue, fairness_key, job_workflow_id
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.receipts import Receipt
from darkroom.fair_queue import FairQueue, elsewhere, who_asks

QUERY_DEADLINE = timedelta(seconds=2)
CALL_DEADLINE = timedelta(seconds=10)
"""For what changes something: a server that hangs is an answer too, and soon."""

_QUERIES = FairQueue(1_000, 4)
"""Of one user of the API at the same time, so that the workers have places left for those of others."""

STARTS_OF_ONE_USER = 25
START_TURN_PATIENCE = timedelta(seconds=60)

_STARTS: WeakKeyDictionary[asyncio.AbstractEventLoop, FairQueue] = WeakKeyDictionary()
"""A thousand jobs that are ordered at once are started in turns: a deadline counts from a request's own turn."""


class JobExecutions:
    """The executions of jobs on one Temporal server.

    Without a server nothing can be started or signalled; questions go unanswered.
    """

    def __init__(self, temporal: TemporalClient | None) -> None:
        self.temporal = temporal

    async def start(self, job: JobRow | NewJob, *, restart: bool) -> bool:
        """Start the workflow; False when it is running, or, without `restart`, has run before."""
        known = {SearchAttribute.JOB_STATUS: JobStatus.PENDING.value}
        if job.job_type:
            known[SearchAttribute.JOB_TYPE] = job.job_type
        if job.user_id:
            known[SearchAttribute.USER_ID] = str(job.user_id)
        attributes = [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in known.items()]
        reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE if restart else WorkflowIDReusePolicy.REJECT_DUPLICATE
        try:
            async with elsewhere(), _turn_to_start():
                await self._server().start_workflow(
                    PipelineJob.run,
                    JobInput(job_id=job.job_id, restart=restart, generation=GENERATION),
                    id=job_workflow_id(job.job_id),
                    task_queue=TaskQueue.ORCHESTRATE,
                    id_reuse_policy=reuse,
                    # FAIL rather than USE_EXISTING, to learn whether it was there; found is no error here.
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    search_attributes=TypedSearchAttributes(attributes),
                    static_summary=_summary(job),
                    priority=Priority(priority_key=job.priority, fairness_key=fairness_key(job.user_id, job.job_id)),
                    rpc_timeout=CALL_DEADLINE,
                )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def signal(self, job: JobRow, signal: Callable[..., None], *payload: Value) -> bool:
        """Send a signal; False when no execution of the job is running."""
        try:
            async with elsewhere():
                await self.handle(job.job_id).signal(signal, args=payload, rpc_timeout=CALL_DEADLINE)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def progress(self, job_id: UUID) -> Progress | None:
        """The job's progress by its workflow, within 2 s; None without an answer."""
        if self.temporal is None:
            return None
        try:
            # The client tries again after a deadline that the server was the first to notice, with as long a one.
            async with elsewhere(), asyncio.timeout(QUERY_DEADLINE.total_seconds()), _QUERIES.turn_of_who_asks():
                return await self.handle(job_id).query(PipelineJob.progress, rpc_timeout=QUERY_DEADLINE)
        except (RPCError, TimeoutError):
            return None  # no worker, no such workflow, or no server

    def worker_watch(self) -> WorkerWatch:
        """What this server knows of the workers; nothing without a server."""

        async def temporal() -> TemporalClient:
            if self.temporal is None:
                raise ServerNotReachable("this client was made without a Temporal server")
            return self.temporal

        return WorkerWatch(temporal, server_is_ours=lambda: False)

    async def running(self, job_id: UUID) -> tuple[str, ...]:
        """The ids of the running execution, its first one too after a reset; empty when none runs, or none answers."""
        if self.temporal is None:
            return ()
        try:
            async with elsewhere(), asyncio.timeout(QUERY_DEADLINE.total_seconds()):
                found = await self.handle(job_id).describe(rpc_timeout=QUERY_DEADLINE)
        except (RPCError, TimeoutError):
            return ()
        if found.status is not WorkflowExecutionStatus.RUNNING:
            return ()
        return found.run_id, found.raw_description.workflow_execution_info.first_run_id

    async def end_cleaning(self, job_id: UUID, run_id: str) -> None:
        """End the execution of a closed run, which only removes leftovers; one that has ended is left alone."""
        try:
            handle = self._server().get_workflow_handle(job_workflow_id(job_id), run_id=run_id)
            await handle.terminate(
                "the job was restarted while its last run was cleaning up", rpc_timeout=CALL_DEADLINE
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    def handle(self, job_id: UUID) -> WorkflowHandle[PipelineJob, Receipt]:
        """The handle of the job's newest execution."""
        return self._server().get_workflow_handle_for(PipelineJob.run, job_workflow_id(job_id))

    def _server(self) -> TemporalClient:
        assert self.temporal is not None, "this client was made without a Temporal server"
        return self.temporal


def _summary(job: JobRow | NewJob) -> str:
    """What the Temporal Web UI shows beside the job; a name that is changed later stays as it was here."""
    kind = as_markdown(job.job_type or "order")
    return f"{'' if job.name is None else f'{as_markdown(job.name)} · '}{kind} · {job.total_images} images"


@asynccontextmanager
async def _turn_to_start() -> AsyncIterator[None]:
    queue = _STARTS.setdefault(asyncio.get_running_loop(), FairQueue(2 * STARTS_OF_ONE_USER, STARTS_OF_ONE_USER))
    whose = who_asks()
    try:
        async with asyncio.timeout(START_TURN_PATIENCE.total_seconds()):
            await queue.take(whose)
    except TimeoutError:
        raise RPCError("Timeout expired", RPCStatusCode.DEADLINE_EXCEEDED, b"") from None
    try:
        yield
    finally:
        queue.give_back(whose)
