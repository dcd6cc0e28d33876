"""Batches as child workflows: lost ones, ones that cannot start, and what they are told."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from tests.replay.application import (
    BatchInput,
    Between,
    SetControlInput,
    TaskQueue,
    WorkflowStack,
    batch_workflow_id,
    events,
    job_of,
    job_workflow_id,
    until,
    until_batches_ended,
    until_heard,
    until_paused,
)
from tests.replay.server import Server


async def batch_terminated(server: Server) -> None:
    """A batch is terminated before it told of a delivery: the records know of it, the next round makes the rest."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(4)
        await stack.provider.until_calls(2)
        await stack.temporal.get_workflow_handle(batch_workflow_id(job_id, 0, 0, 0)).terminate()
        stack.provider.gate.set()
        await stack.client.result(job_id)


async def batch_terminated_after_deliveries(server: Server) -> None:
    """A batch is terminated after deliveries that it did not tell: their ids are read from the records."""
    crediting = Between("credit", "credit_group")
    async with server.stack(interceptors=[crediting]) as stack:

        async def terminate(settled: Any) -> None:
            await stack.temporal.get_workflow_handle(batch_workflow_id(job_of(settled), 0, 0, 0)).terminate()

        crediting.after = terminate
        await stack.client.result(await stack.order(4))


async def _blocked(stack: WorkflowStack, **extra: Any) -> tuple[UUID, WorkflowHandle[Any, Any]]:
    """A job whose batch cannot start, as after a restart that was quicker than the end of the batch before."""
    job_id = uuid4()
    blocker = await stack.temporal.start_workflow(
        "NobodyRunsThis", id=batch_workflow_id(job_id, 0, 0, 0), task_queue="nobody-listens"
    )
    document: dict[str, Any] = {"stages": [{"prompt": "x", "quantity": 2}], **extra}
    await stack.client.submit(await stack.client.check(document, stack.user_id), job_id=job_id)

    async def refused() -> bool:
        return any(
            event.event_type == EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED
            for event in await events(stack, job_workflow_id(job_id))
        )

    await until(refused, "the start of the batch to be refused")
    return job_id, blocker


async def batch_in_the_way(server: Server) -> None:
    """The batch of another run is in the way, until it has ended."""
    async with server.stack() as stack:
        job_id, blocker = await _blocked(stack)
        await blocker.terminate()
        await stack.client.result(job_id)


async def cancelled_with_a_batch_in_the_way(server: Server) -> None:
    """The cancel comes while the batch cannot start, so that its input does not hold it."""
    async with server.stack() as stack:
        job_id, blocker = await _blocked(stack)
        await stack.client.cancel(job_id)
        await until_heard(stack, job_id, "set_control", 1)
        await blocker.terminate()
        await stack.client.result(job_id)


async def paused_with_a_batch_in_the_way(server: Server) -> None:
    """The pause comes while the batch cannot start, so that its input does not hold it."""
    async with server.stack() as stack:
        job_id, blocker = await _blocked(stack, max_top_ups=0)
        await stack.client.pause(job_id)
        await until_heard(stack, job_id, "set_control", 1)
        await blocker.terminate()
        await until_batches_ended(stack, job_id)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)


async def told_after_its_end(server: Server) -> None:
    """A pause is passed on, batch by batch, while the last ones are terminated: they cannot be told."""
    stages = 8
    writing = Between("set_control")
    async with server.stack(interceptors=[writing], stage_concurrency=1) as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(*[2] * stages)
        await stack.provider.until_calls(stages)
        ending: list[asyncio.Task[None]] = []

        async def told_the_first() -> bool:
            return any(
                event.event_type == EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
                for event in await events(stack, job_workflow_id(job_id))
            )

        async def terminate(stage: int) -> None:
            await until(told_the_first, "the first batch to be told")
            await stack.temporal.get_workflow_handle(batch_workflow_id(job_id, stage, 0, 0)).terminate()

        async def terminate_the_last(_asked: SetControlInput) -> None:
            ending.extend(asyncio.create_task(terminate(stage)) for stage in range(stages - 3, stages))

        writing.after = terminate_the_last
        await stack.client.pause(job_id)
        await until_paused(stack, job_id)
        await until_heard(stack, job_id, "set_control", 1)
        await asyncio.gather(*ending)
        stack.provider.gate.set()
        await until_batches_ended(stack, job_id, stages)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)
        found = await events(stack, job_workflow_id(job_id))
        assert any(
            event.event_type == EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED for event in found
        ), "every batch was told; record it again"


async def without_a_job(server: Server) -> None:
    """A batch that an operator starts by itself: it reports to nobody."""
    opening = Between("next_ordinals")
    async with server.stack(interceptors=[opening]) as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(3)
        await stack.provider.until_calls(2)
        name = batch_workflow_id(job_id, 0, 0, 0)
        [started, *_] = await events(stack, name)
        [given] = await stack.temporal.data_converter.decode(
            started.workflow_execution_started_event_attributes.input.payloads, [BatchInput]
        )
        await stack.handle(job_id).terminate()
        stack.provider.gate.set()
        await stack.temporal.execute_workflow(
            "StageBatchWorkflow", given, id=f"{name}-alone", task_queue=TaskQueue.ORCHESTRATE
        )
