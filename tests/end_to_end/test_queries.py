"""Several people who ask for the progress of a job while its workflow has a task in progress."""

import asyncio
from datetime import timedelta
from pathlib import Path

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueRequest,
    QueryWorkflowRequest,
    RespondWorkflowTaskCompletedRequest,
)
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from darkroom.embedded.server import embedded_server
from darkroom.settings import Settings

QUEUE = "nobody"
ASKING = 20
DEADLINE = timedelta(seconds=2)
WAITED = {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}
"""Until the deadline: whichever of server and client ends it first."""


async def _take_task(client: Client) -> bytes:
    """Take a workflow task as a worker would; it is in progress until it is completed with what this gives."""
    request = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=QUEUE))
    return (await client.workflow_service.poll_workflow_task_queue(request)).task_token


async def _ask(client: Client, handle: "WorkflowHandle[object, object]") -> RPCStatusCode | None:
    """How a query fails, without another try."""
    request = QueryWorkflowRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=handle.id),
        query=WorkflowQuery(query_type="progress"),
    )
    try:
        await client.workflow_service.query_workflow(request, retry=False, timeout=DEADLINE)
    except RPCError as error:
        return error.status
    return None


async def test_a_query_is_not_refused_because_another_one_waits(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, darkroom_home=tmp_path)
    async with embedded_server(settings, port=0, ui_port=0) as server:
        client = await Client.connect(server.address)
        handle = await client.start_workflow("Nothing", id="watched", task_queue=QUEUE)
        first = RespondWorkflowTaskCompletedRequest(namespace=client.namespace, task_token=await _take_task(client))
        await client.workflow_service.respond_workflow_task_completed(first)
        await handle.signal("more")
        await _take_task(client)
        failed = await asyncio.gather(*(_ask(client, handle) for _ in range(ASKING)))
    assert set(failed) <= WAITED
