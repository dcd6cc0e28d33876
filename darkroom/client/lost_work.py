"""Gives back what dead workers of this machine still hold, so that nobody waits for their heartbeats to be missed.

The server takes a worker for dead once its heartbeat is 10 s old, and then backs off. A worker that starts in the same
folder knows at once which of its predecessors have ended: each held a lock while it lived (`darkroom.workers`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic

import structlog
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import ApplicationErrorCategory, PendingActivityState
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, RespondActivityTaskFailedByIdRequest
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError, RPCStatusCode

from darkroom.client.lost_workflow_tasks import DEADLINE, give_back_workflow_task
from darkroom.client.temporal_faults import explained
from darkroom.workers import LocalWorkers

PAUSES = (0.0, 0.5, 1.0, 2.0)
"""Seconds before each pass: the list of running workflows follows what happens a moment later."""
AT_ONCE = 32
TRY_AGAIN = timedelta(milliseconds=1)
"""Zero would mean the activity's own back-off."""
REASON = "the worker process that ran this activity has ended"

log = structlog.get_logger("darkroom.client.lost_work")


def identity_of(temporal: TemporalClient, worker: str) -> str:
    """What a worker calls itself to Temporal: the client's name, and the id by which its life is known here."""
    return f"{temporal.identity}#{worker}"


@asynccontextmanager
async def giving_back_lost_work(temporal: TemporalClient, workers: LocalWorkers) -> AsyncIterator[None]:
    """Do it beside what the context does."""
    task = asyncio.create_task(give_back_lost_work(temporal, workers))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def give_back_lost_work(temporal: TemporalClient, workers: LocalWorkers) -> int:
    """Let all that dead workers of this machine hold be done by others at once; how many activities that were.

    Only one process does this at a time: an activity that another one has just given back may have been taken by a
    worker that lives. Nothing is asked of the server when every earlier worker has stopped as it should.
    """
    given_back: list[str] = []
    async with workers.alone():
        if not (dead := workers.crashed()):
            return 0
        failed: RPCError | None = None
        for pause in PAUSES:
            await asyncio.sleep(pause)
            dead |= workers.crashed()
            try:
                await _one_pass(temporal, dead, given_back)
                failed = None
            except RPCError as error:
                failed = error
        if failed is None:
            workers.forget(dead)
        else:
            # Nothing is lost: the server notices by itself, later.
            log.warning("lost work could not be given back", reason=explained(failed))
    if given_back:
        log.info("work of ended workers given back", activities=len(given_back), workers=len(dead))
    return len(given_back)


async def _one_pass(temporal: TemporalClient, dead: Collection[str], given_back: list[str]) -> None:
    """Look at all workflows once; what was given back is noted at once, as a request for another may fail.

    Raises:
        RPCError: a request failed; all the same, every workflow was looked at.
    """
    places, requests = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)

    async def one(workflow_id: str, run_id: str) -> None:
        async with places:
            execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
            await _give_back(temporal, execution, dead, requests, given_back)

    running = temporal.list_workflows("ExecutionStatus = 'Running'", rpc_timeout=10 * DEADLINE)
    listed = [(found.id, found.run_id) async for found in running]
    await _all_of(one(*execution) for execution in listed)


async def _all_of(requests: Iterable[Awaitable[None]]) -> None:
    """Wait for all: one that goes on after the next pass could give back what a live worker has taken meanwhile.

    Raises:
        RPCError: one failed; all the same, every one has ended.
    """
    for error in await asyncio.gather(*requests, return_exceptions=True):
        if error is not None:
            raise error


async def _give_back(
    temporal: TemporalClient,
    execution: WorkflowExecution,
    dead: Collection[str],
    places: asyncio.Semaphore,
    given_back: list[str],
) -> None:
    """What one workflow waits for."""
    request = DescribeWorkflowExecutionRequest(namespace=temporal.namespace, execution=execution)
    try:
        until = monotonic() + DEADLINE.total_seconds()
        found = await temporal.workflow_service.describe_workflow_execution(request, timeout=DEADLINE)
        held = [pending for pending in found.pending_activities if _is_held(pending, dead)]
        await _all_of(
            _give_back_one(temporal, execution, pending, places=places, until=until, given_back=given_back)
            for pending in held
        )
        await give_back_workflow_task(temporal, execution, lambda identity: worker_of(identity) in dead)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended meanwhile
            raise


async def _give_back_one(
    temporal: TemporalClient,
    execution: WorkflowExecution,
    pending: PendingActivityInfo,
    *,
    places: asyncio.Semaphore,
    until: float,
    given_back: list[str],
) -> None:
    async with places:
        if monotonic() > until:
            return  # what was known may no longer be true: the next pass asks anew
        try:
            await _fail(temporal, execution, pending)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended meanwhile
                raise
        else:
            given_back.append(pending.activity_id)


def _is_held(pending: PendingActivityInfo, dead: Collection[str]) -> bool:
    held = pending.state in (
        PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
        PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
    )
    return held and worker_of(pending.last_worker_identity) in dead


async def _fail(temporal: TemporalClient, execution: WorkflowExecution, pending: PendingActivityInfo) -> None:
    again = Duration()
    again.FromTimedelta(TRY_AGAIN)
    failure = Failure(
        message=REASON,
        source="Darkroom",
        application_failure_info=ApplicationFailureInfo(
            type="WorkerEnded",
            next_retry_delay=again,
            category=ApplicationErrorCategory.APPLICATION_ERROR_CATEGORY_BENIGN,
        ),
    )
    await temporal.workflow_service.respond_activity_task_failed_by_id(
        RespondActivityTaskFailedByIdRequest(
            namespace=temporal.namespace,
            workflow_id=execution.workflow_id,
            run_id=execution.run_id,
            activity_id=pending.activity_id,
            failure=failure,
            identity=temporal.identity,
        ),
        timeout=DEADLINE,
    )


def worker_of(identity: str) -> str:
    """The id of the worker that calls itself so; of another program, anything."""
    return identity.rpartition("#")[2]
