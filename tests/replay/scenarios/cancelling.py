"""Cancels, by the user and through Temporal, and what is salvaged then."""

import asyncio
import contextlib
from typing import Any
from uuid import uuid4

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError

from tests.replay.application import (
    Act,
    Between,
    GenerateInput,
    ScriptedProvider,
    UploadInput,
    batch_workflow_id,
    events,
    until,
    until_batches_ended,
    until_completed,
    until_heard,
    until_paused,
)
from tests.replay.server import Server


async def signalled_oddly(server: Server) -> None:
    """Signals whose arguments no handler takes: nothing comes of them."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(2)
        await stack.provider.until_calls(2)
        for signal in ("cancel", "pause", "nobody knows it"):
            await stack.handle(job_id).signal(signal, args=[1, 2])
        stack.provider.gate.set()
        await stack.client.result(job_id)


async def cancelled(server: Server) -> None:
    """Cancelled with calls in progress."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(5)
        await stack.provider.until_calls(2)
        await stack.client.cancel(job_id, "enough")
        await until_heard(stack, job_id, "set_control", 1)
        stack.provider.gate.set()
        await stack.client.result(job_id)


async def cancelled_in_back_off(server: Server) -> None:
    """Cancelled while calls of two stages wait for their next attempts: the server drops them at once."""
    provider = ScriptedProvider({(stage, 0): [Act.FAULT] * 9 for stage in range(2)})
    async with server.stack(provider, stage_concurrency=1) as stack:
        job_id = await stack.order(3, 3)
        await provider.until_calls(2)
        await stack.client.cancel(job_id)
        await stack.client.result(job_id)


async def cancelled_in_a_pause(server: Server) -> None:
    """Cancelled while paused, nothing is in staging."""
    async with server.stack(stage_concurrency=1) as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(4)
        await stack.provider.until_calls(1)
        await stack.client.pause(job_id)
        await until_paused(stack, job_id)
        stack.provider.gate.set()
        await until_batches_ended(stack, job_id)
        await stack.client.cancel(job_id)
        await stack.client.result(job_id)


async def cancelled_before_a_top_up(server: Server) -> None:
    """Cancelled while the next round's delay passes."""
    async with server.stack(ScriptedProvider({(0, 0): [Act.MISS]}), top_up_delay=60) as stack:
        job_id = await stack.order(2)
        await until_batches_ended(stack, job_id)
        await stack.client.cancel(job_id)
        await stack.client.result(job_id)


async def cancelled_through_temporal(server: Server) -> None:
    """The workflow itself is cancelled."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(6)
        await stack.provider.until_calls(2)
        await stack.handle(job_id).cancel()
        await until_heard(stack, job_id, "set_control", 1)
        stack.provider.gate.set()
        await stack.client.result(job_id)


async def batch_cancelled_through_temporal(server: Server) -> None:
    """A batch is cancelled: its stage stops, the other does not."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(5, 3)
        await stack.provider.until_calls(4)
        await stack.temporal.get_workflow_handle(batch_workflow_id(job_id, 0, 0, 0)).cancel()
        stack.provider.gate.set()
        await stack.client.result(job_id)


async def batch_cancelled_before_it_began(server: Server) -> None:
    """Batches are cancelled before their first task, which then begins nothing."""
    stages = 12
    async with server.stack(stage_concurrency=1) as stack:
        job_id = uuid4()
        # The worker takes up the batches one after another, so that the last ones can be met before their first task.
        last = [
            stack.temporal.get_workflow_handle(batch_workflow_id(job_id, stage, 0, 0))
            for stage in range(stages - 4, stages)
        ]

        async def cancel_as_soon_as_it_is_there(batch: WorkflowHandle[Any, Any]) -> None:
            while True:
                with contextlib.suppress(RPCError):
                    await batch.cancel()
                    return

        document: dict[str, Any] = {"stages": [{"prompt": "x", "quantity": 1}] * stages}
        await stack.client.submit(await stack.client.check(document, stack.user_id), job_id=job_id)
        await asyncio.gather(*map(cancel_as_soon_as_it_is_there, last))
        await stack.client.result(job_id)
        begun = [[event.event_type for event in await events(stack, batch.id)] for batch in last]
        assert any(
            kinds.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
            < kinds.index(EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)
            for kinds in begun
        ), "every batch was quicker; record it again"


async def salvaged_by_a_batch(server: Server) -> None:
    """Cancelled; the answer of a call that had staged its picture is lost: the batch finds it there."""
    generating = Between("generate")
    async with server.stack(interceptors=[generating]) as stack:

        async def lose_the_answer_after_a_cancel(image: GenerateInput) -> None:
            await stack.client.cancel(image.key.job_id)
            await until_heard(stack, image.key.job_id, "set_control", 1)
            raise ApplicationError("the answer was lost", category=ApplicationErrorCategory.BENIGN)

        generating.after = lose_the_answer_after_a_cancel
        await stack.client.result(await stack.order(4))


async def salvaged_at_the_end(server: Server) -> None:
    """The batch of the last round is terminated: the stage waits for its calls and delivers what they staged."""
    async with server.stack(max_top_ups=0) as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(3)
        await stack.provider.until_calls(2)
        await stack.temporal.get_workflow_handle(batch_workflow_id(job_id, 0, 0, 0)).terminate()
        await until_batches_ended(stack, job_id)
        stack.provider.gate.set()
        await stack.client.result(job_id)


async def failed_and_short(server: Server) -> None:
    """A permanent fault: what its stages lack waits in staging for a restart."""
    async with server.stack(ScriptedProvider({(0, 1): [Act.STOP]}), stage_concurrency=1) as stack:
        await stack.client.result(await stack.order(3, 2))


async def short_with_nothing_staged(server: Server) -> None:
    """All rounds are spent and a picture is missing: nothing waits in staging."""
    async with server.stack(ScriptedProvider({(0, 0): [Act.MISS], (0, 1): [Act.MISS]}), max_top_ups=0) as stack:
        await stack.client.result(await stack.order(3))


async def _left_in_staging(server: Server, *, lose_the_salvage: bool) -> None:
    generating, uploading = Between("generate"), Between("upload")
    async with server.stack(interceptors=[generating, uploading], stage_concurrency=1) as stack:

        async def lose_the_answer_after_a_pause(image: GenerateInput) -> None:
            await stack.client.pause(image.key.job_id)
            await until_heard(stack, image.key.job_id, "set_control", 1)
            raise ApplicationError("the answer was lost", category=ApplicationErrorCategory.BENIGN)

        async def terminate_the_salvage(image: UploadInput) -> None:
            found = f"WorkflowId STARTS_WITH 'job-{image.key.job_id}/' AND ExecutionStatus = 'Running'"

            async def terminated() -> bool:
                async for one in stack.temporal.list_workflows(found):
                    await stack.temporal.get_workflow_handle(one.id).terminate()
                    return True
                return False

            await until(terminated, "the salvage in the list")

        generating.after = lose_the_answer_after_a_pause
        if lose_the_salvage:
            uploading.before = terminate_the_salvage
        job_id = await stack.order(3)
        await until_batches_ended(stack, job_id)
        await stack.client.cancel(job_id)
        await stack.client.result(job_id)


async def salvaged_after_a_pause(server: Server) -> None:
    """Cancelled while paused: a batch that begins nothing delivers what a lost worker had staged."""
    await _left_in_staging(server, lose_the_salvage=False)


async def salvage_lost(server: Server) -> None:
    """The same, and that batch is terminated."""
    await _left_in_staging(server, lose_the_salvage=True)


async def cancelled_without_ids(server: Server) -> None:
    """A job too large to carry ids, cancelled after some images, restarted and cancelled again."""
    async with server.stack() as stack:
        job_id = await stack.order(2001)
        await until_completed(stack, job_id, 2)
        await stack.client.cancel(job_id)
        await stack.client.result(job_id)
        calls = stack.provider.total_calls
        await stack.client.restart(job_id)
        await stack.provider.until_calls(calls + 2)
        await stack.client.cancel(job_id)
        await stack.client.result(job_id)
