"""Workflow tasks that a dead worker holds, or that wait for the worker that has the workflow in its cache and is dead.

Either would be noticed after 10 s, and a workflow decides nothing meanwhile.
"""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import NamedTuple

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, TaskQueueKind, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    PollWorkflowTaskQueueRequest,
    ResetStickyTaskQueueRequest,
    RespondWorkflowTaskFailedRequest,
)
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError, RPCStatusCode

DEADLINE = timedelta(seconds=1)
"""For each question."""
POLL = timedelta(seconds=3)
"""Servers refuse polls below 2 s; a task that is there comes at once."""
LAST_EVENTS = 100
"""Events after which a workflow's last worker is no longer looked for."""
_ENDED = (EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)
_NO_LONGER = (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.DEADLINE_EXCEEDED)


class _Last(NamedTuple):
    """What a history says of the last workflow tasks."""

    worker: str = ""
    """The identity of whoever completed one."""
    scheduled: HistoryEvent | None = None
    """One that nobody has begun."""
    started: HistoryEvent | None = None
    """One that somebody is at."""


async def give_back_workflow_task(
    temporal: TemporalClient, execution: WorkflowExecution, is_dead: Callable[[str], bool]
) -> None:
    """Let the workflow's next task go to any worker, at once.

    Args:
        temporal: the server's client.
        execution: a run of a workflow.
        is_dead: whether the worker with this identity has certainly ended.

    Raises:
        RPCError: the server does not answer, or the workflow has ended.
    """
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=temporal.namespace, execution=execution, maximum_page_size=LAST_EVENTS
    )
    answer = await temporal.workflow_service.get_workflow_execution_history_reverse(request, timeout=DEADLINE)
    last = _last(answer.history.events)
    token = b""
    if last.started is not None:
        if is_dead(last.started.workflow_task_started_event_attributes.identity):
            token = await _token_of(temporal, execution, last.started)
    elif is_dead(last.worker):
        if last.scheduled is not None:
            token = await _taken(temporal, last.scheduled.workflow_task_scheduled_event_attributes.task_queue)
        else:
            # Not before a task is taken: the server then no longer hands out what is in the dead worker's queue.
            await temporal.workflow_service.reset_sticky_task_queue(
                ResetStickyTaskQueueRequest(namespace=temporal.namespace, execution=execution), timeout=DEADLINE
            )
    if token:
        await _fail(temporal, token)


def _last(newest_first: Collection[HistoryEvent]) -> _Last:
    scheduled = started = None
    ended = False
    for event in newest_first:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return _Last(event.workflow_task_completed_event_attributes.identity, scheduled, started)
            case EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED if not ended:
                started = event
            case EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED if not ended and started is None:
                scheduled = event
            case kind if kind in _ENDED:
                ended = True
    return _Last(scheduled=scheduled, started=started)


async def _taken(temporal: TemporalClient, queue: TaskQueue) -> bytes:
    """A task of the dead worker's own queue, which nobody else polls."""
    if queue.kind is not TaskQueueKind.TASK_QUEUE_KIND_STICKY:
        return b""
    request = PollWorkflowTaskQueueRequest(namespace=temporal.namespace, task_queue=queue, identity=temporal.identity)
    try:
        answer = await temporal.workflow_service.poll_workflow_task_queue(request, timeout=POLL)
    except RPCError as error:
        if error.status not in _NO_LONGER:
            raise
        return b""
    return answer.task_token


async def _token_of(temporal: TemporalClient, execution: WorkflowExecution, started: HistoryEvent) -> bytes:
    """The token that the dead worker was given with its task.

    Servers keep to themselves what is in it, and check each part against the task: where theirs is another one, this
    is refused, and the task times out as it would have. So is a task that is no longer the one that was looked at.
    (`Task` in Temporal's `server/api/token/v1/message.proto`; a test holds the embedded server to it.)
    """
    described = await temporal.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=temporal.namespace), timeout=DEADLINE
    )
    texts = (described.namespace_info.id, execution.workflow_id, execution.run_id)
    numbers = {4: started.workflow_task_started_event_attributes.scheduled_event_id, 5: 1, 10: started.event_id}
    token = b"".join(
        _varint(field << 3 | 2) + _varint(len(text.encode())) + text.encode() for field, text in enumerate(texts, 1)
    )
    return token + b"".join(_varint(field << 3) + _varint(number) for field, number in numbers.items())


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


async def _fail(temporal: TemporalClient, token: bytes) -> None:
    request = RespondWorkflowTaskFailedRequest(
        namespace=temporal.namespace,
        task_token=token,
        cause=WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
        identity=temporal.identity,
    )
    try:
        await temporal.workflow_service.respond_workflow_task_failed(request, timeout=DEADLINE)
    except RPCError as error:
        if error.status not in _NO_LONGER:
            raise
