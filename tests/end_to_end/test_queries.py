"""Several people who ask for the progress of a job while its workflow has a task in progress."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
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

from darkroom.domain.progress import JobStatus, Progress, StageProgress
from darkroom.domain.receipts import LONGEST_REASON
from darkroom.embedded import launching
from darkroom.embedded.launching import WAITING_QUERIES
from darkroom.embedded.server import embedded_server
from darkroom.settings import Settings

QUEUE = "nobody"
WIDEST = "\N{ARTIST PALETTE}"
"""A character of four bytes."""
LARGEST_MESSAGE = 4 * 1024 * 1024
"""Bytes of a gRPC message that the server takes."""
DEADLINE = timedelta(seconds=2)
WAITED = {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}
"""Until the deadline: whichever of server and client ends it first."""


async def _take_task(client: Client) -> bytes:
    """Take a workflow task as a worker would; it is in progress until it is completed with what this gives."""
    request = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=QUEUE))
    token = (await client.workflow_service.poll_workflow_task_queue(request)).task_token
    assert token, "no task came"
    return token


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


async def _while_a_task_is_in_progress(home: Path, queries: int) -> list[RPCStatusCode | None]:
    settings = Settings(_env_file=None, darkroom_home=home)
    async with embedded_server(settings, port=0, ui_port=0) as server:
        client = await Client.connect(server.address)
        handle = await client.start_workflow("Nothing", id="watched", task_queue=QUEUE)
        first = RespondWorkflowTaskCompletedRequest(namespace=client.namespace, task_token=await _take_task(client))
        await client.workflow_service.respond_workflow_task_completed(first)
        await handle.signal("more")
        await _take_task(client)
        return await asyncio.gather(*(_ask(client, handle) for _ in range(queries)))


async def test_a_query_is_not_refused_because_another_one_waits(tmp_path: Path) -> None:
    failed = await _while_a_task_is_in_progress(tmp_path, WAITING_QUERIES)
    assert set(failed) <= WAITED


async def test_without_our_setting_the_second_query_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "CONCURRENT_QUERIES", ())
    failed = await _while_a_task_is_in_progress(tmp_path, WAITING_QUERIES)
    assert failed.count(RPCStatusCode.RESOURCE_EXHAUSTED) == WAITING_QUERIES - 1


def test_the_answers_that_wait_for_a_workflow_task_fit_into_one_message() -> None:
    stages = tuple(
        StageProgress(
            stage_index=index, label=WIDEST * 80, quantity=10_000, attach_ids=None, reason=WIDEST * LONGEST_REASON
        )
        for index in range(1_000)
    )
    answer = Progress(
        job_id=uuid4(),
        job_type="simple_general",
        status=JobStatus.PROCESSING,
        total_images=30_000,
        completed_images=0,
        generated_attach_ids=None,
        stages=stages,
    )
    assert WAITING_QUERIES * len(answer.model_dump_json().encode()) < LARGEST_MESSAGE
