"""Workflows that cannot continue, because each try of their next task fails: what happened, and the way out."""

from typing import NamedTuple

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError, RPCStatusCode

from darkroom.client.executions import QUERY_DEADLINE
from darkroom.client.temporal_faults import explained
from darkroom.domain.findings import Finding
from darkroom.domain.names import parse_job_workflow_id
from darkroom.domain.receipts import shorten

_PROBLEM = "ExecutionStatus = 'Running' AND TemporalReportedProblems IS NOT NULL"
WORKFLOWS = "workflows"
MOST_NAMED = 20
LAST_EVENTS = 5


class StuckWorkflow(NamedTuple):
    """One of them."""

    workflow_id: str
    reason: str

    @property
    def remedy(self) -> str:
        """What an operator can do; nothing that is delivered or paid for is lost by it."""
        end = f"`temporal workflow terminate --workflow-id {self.workflow_id}`"
        job_id = parse_job_workflow_id(self.workflow_id)
        if job_id is not None:
            end += f", then `darkroom restart {job_id}`"
        return f"run a worker of the version that started it, or end it with {end}; only missing pictures are made"


async def stuck_workflows(temporal: TemporalClient) -> list[StuckWorkflow] | None:
    """The workflows whose task has failed five times in a row, at most 20 of them; None where the server cannot tell.

    Raises:
        RPCError: the server does not answer.
    """
    try:
        listed = [one async for one in temporal.list_workflows(_PROBLEM, limit=MOST_NAMED, rpc_timeout=QUERY_DEADLINE)]
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:  # servers before 1.30 do not report it
            return None
        raise
    return [StuckWorkflow(one.id, await _reason(temporal, one.id, one.run_id)) for one in listed]


async def check_stuck(temporal: TemporalClient) -> list[Finding]:
    """A finding for each of them, or one that there is none."""
    try:
        stuck = await stuck_workflows(temporal)
    except RPCError as error:
        return [Finding.unknown(WORKFLOWS, f"the server returned an error: {explained(error)}")]
    if stuck is None:
        return [Finding.unknown(WORKFLOWS, "this Temporal server does not report tasks that keep failing")]
    if not stuck:
        return [Finding.good(WORKFLOWS, "none is stuck")]
    return [Finding.wrong(WORKFLOWS, f"{one.workflow_id} cannot continue: {one.reason}", one.remedy) for one in stuck]


async def _reason(temporal: TemporalClient, workflow_id: str, run_id: str) -> str:
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=temporal.namespace,
        execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        maximum_page_size=LAST_EVENTS,
    )
    answer = await temporal.workflow_service.get_workflow_execution_history_reverse(request, timeout=QUERY_DEADLINE)
    for event in answer.history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            return shorten(event.workflow_task_failed_event_attributes.failure.message or "its task fails")
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
            return "its task times out: workers crash on it, or do not respond"
    return "its task fails"
