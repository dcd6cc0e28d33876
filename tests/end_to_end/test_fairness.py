"""Who orders three pictures does not wait for the five hundred of somebody who came earlier."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue as NamedQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

import worker
from darkroom.domain.images import ImageRequest, ProviderAnswer
from darkroom.domain.names import TaskQueue, batch_workflow_id, job_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.embedded import launching
from tests.support.fakes.scripted import ScriptedProvider
from tests.support.stacks.temporal_server import TemporalServer
from tests.support.stacks.workflow import OPENING_BALANCE, running_stack
from tests.support.until import until


class Ordered(ScriptedProvider):
    """Remembers whose picture each call was for."""

    def __init__(self) -> None:
        super().__init__(held=True)
        self.prompts: list[str] = []

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        self.prompts.append(request.prompt)
        return await super().generate(request)


# With four partitions, eight pictures are hardly ever spread so that all of them come in turn.
@pytest.mark.slow
@pytest.mark.parametrize(("many", "few"), [(60, 8), (500, 3)])
async def test_pictures_take_turns_with_hundreds_of_another_user_ordered_earlier(
    many: int, few: int, tmp_path: Path
) -> None:
    server = TemporalServer(tmp_path)
    await server.start()
    try:
        temporal = await Client.connect(server.address, data_converter=pydantic_data_converter)
        provider = Ordered()
        async with running_stack(temporal, tmp_path, provider, provider_concurrency=1, stage_concurrency=many) as stack:
            large = await stack.order(many)
            await _until_waiting(temporal, many - 1)
            late = uuid4()
            await stack.parts.records.ensure_member(late, OPENING_BALANCE)
            document = {"stages": [{"prompt": "late", "quantity": few}]}
            small = (await stack.client.submit(await stack.client.check(document, late))).job_id
            await _until_waiting(temporal, many - 1 + few)
            begun = len(provider.prompts)
            provider.gate.set()

            async def all_called() -> bool:
                return provider.prompts.count("late") == few

            await until(all_called, "the calls for the later job", 60)
            await stack.client.cancel(large)
            # The first waits for at most one picture of the other user, and each other one for at most one more.
            order = provider.prompts[begun:]
            turns = [number for number, prompt in enumerate(order) if prompt == "late"]
            assert all(turn <= 2 * own + 1 for own, turn in enumerate(turns)), order[: turns[-1] + 1]
            receipt = await stack.end_of(small)
            assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, few)
            await stack.client.result(large)
    finally:
        await server.kill()


async def test_jobs_that_have_begun_do_not_wait_for_all_orders_of_their_user_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = 40
    # With the usual hundred at once, a worker may take the first steps of all of them at the same moment.
    few_at_once = partial(Worker, max_concurrent_workflow_tasks=4, max_concurrent_workflow_task_polls=2)
    monkeypatch.setattr(worker, "Worker", few_at_once)
    server = TemporalServer(tmp_path)
    await server.start()
    try:
        temporal = await Client.connect(server.address, data_converter=pydantic_data_converter)
        async with running_stack(temporal, tmp_path, without_workers=True) as stack:
            jobs = [await stack.order(1) for _ in range(orders)]
            async with worker.running_workers(stack.parts, temporal):
                receipts = await asyncio.gather(*(stack.client.result(job_id) for job_id in jobs))
            assert {(receipt.status, receipt.delivered) for receipt in receipts} == {(JobStatus.COMPLETED, 1)}
            begun = [await _first_step(temporal, job_workflow_id(job_id)) for job_id in jobs]
            of_pictures = [await _first_step(temporal, batch_workflow_id(job_id, 0, 0, 0)) for job_id in jobs]
            assert sum(moment > min(of_pictures) for moment in begun) > orders // 4
    finally:
        await server.kill()


async def _first_step(temporal: Client, workflow_id: str) -> int:
    """When a worker took a workflow's first task: nanoseconds, by the server's clock."""
    async for event in temporal.get_workflow_handle(workflow_id).fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            return event.event_time.ToNanoseconds()
    raise AssertionError(f"{workflow_id} has not begun")


@pytest.mark.slow
async def test_what_waits_in_four_partitions_is_delivered_after_an_upgrade_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, all_at_once = 60, 4
    server = TemporalServer(tmp_path)
    with monkeypatch.context() as before:
        before.setattr(launching, "FAIR_QUEUES", launching.FAIR_QUEUES[:1])
        await server.start()
    try:
        temporal = await Client.connect(server.address, data_converter=pydantic_data_converter)
        provider = Ordered()
        slots: dict[str, Any] = {"provider_concurrency": all_at_once, "stage_concurrency": calls}
        async with running_stack(temporal, tmp_path, provider, **slots) as stack:
            job_id = await stack.order(calls)
            await _until_waiting(temporal, calls - all_at_once)
            await server.kill()
            await server.start()
            provider.gate.set()
            receipt = await asyncio.wait_for(stack.client.result(job_id), 60)
            assert (receipt.delivered, receipt.total.provider_calls) == (calls, calls)
    finally:
        await server.kill()


async def _until_waiting(temporal: Client, number: int) -> None:
    """Wait until so many calls wait in the queue."""
    request = DescribeTaskQueueRequest(
        namespace=temporal.namespace,
        task_queue=NamedQueue(name=TaskQueue.GENERATE),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        report_stats=True,
    )

    async def waiting() -> bool:
        queue = await temporal.workflow_service.describe_task_queue(request)
        return queue.stats.approximate_backlog_count >= number

    await until(waiting, f"{number} calls in the queue", 60)
