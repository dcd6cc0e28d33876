"""Pauses by the user."""

import asyncio
from unittest.mock import patch
from uuid import UUID

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from tests.replay.application import (
    Act,
    Between,
    GenerateInput,
    NextOrdinalsInput,
    ScriptedProvider,
    SetControlInput,
    StartRun,
    WorkflowStack,
    continuing,
    plant,
    until,
    until_batches_ended,
    until_completed,
    until_heard,
    until_paused,
)
from tests.replay.server import Server


async def paused(server: Server) -> None:
    """Paused with calls in progress, resumed, delivered."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(5)
        await stack.provider.until_calls(2)
        await stack.client.pause(job_id, "lunch")
        await until_paused(stack, job_id)
        stack.provider.gate.set()
        await until_completed(stack, job_id, 2)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)


async def paused_in_back_off(server: Server) -> None:
    """Paused while one call waits for its next attempt: the server drops it at once."""
    async with server.stack(ScriptedProvider({(0, 0): [Act.FAULT] * 4})) as stack:
        job_id = await stack.order(2, 2)
        await stack.provider.until_calls(3)
        await stack.client.pause(job_id)
        await until_batches_ended(stack, job_id, 1)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)


async def paused_while_a_round_asks(server: Server) -> None:
    """The pause comes while a top-up asks for its ordinals, which it then does not use."""
    asking = Between("next_ordinals")
    async with server.stack(ScriptedProvider({(0, 1): [Act.MISS]}), interceptors=[asking]) as stack:

        async def pause(asked: NextOrdinalsInput) -> None:
            await stack.client.pause(asked.job_id)
            await until_heard(stack, asked.job_id, "set_control", 1)

        asking.before = pause
        job_id = await stack.order(2, max_top_ups=1)
        await until_heard(stack, job_id, "next_ordinals", 1)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)


async def paused_and_resumed_while_a_round_asks(server: Server) -> None:
    """The pause and its end come while a top-up asks for its ordinals."""
    asking = Between("next_ordinals")
    async with server.stack(ScriptedProvider({(0, 1): [Act.MISS]}), interceptors=[asking]) as stack:

        async def pause_and_resume(asked: NextOrdinalsInput) -> None:
            await stack.client.pause(asked.job_id)
            await until_heard(stack, asked.job_id, "set_control", 1)
            await stack.client.resume(asked.job_id)
            await until_heard(stack, asked.job_id, "set_control", 2)

        asking.before = pause_and_resume
        await stack.client.result(await stack.order(2, max_top_ups=1))


async def resumed_before_it_was_paused(server: Server) -> None:
    """A pause and its resume, asked for before a batch began, reach it one after the other: its round goes on."""
    await _resumed_before_it_was_paused(server)


async def resumed_before_it_was_paused_once(server: Server) -> None:
    """The same, played by the workflows of before: the round ended there, and with it the job."""
    await _resumed_before_it_was_paused(server)


async def _resumed_before_it_was_paused(server: Server) -> None:
    pausing, generating = Between("set_control"), Between("generate")
    second_call = asyncio.Event()
    provider = ScriptedProvider({(0, 0): [Act.MISS]})
    async with server.stack(provider, interceptors=[pausing, generating], stage_concurrency=1) as stack:
        job_id = await stack.held(1, calls=1, max_top_ups=1)

        async def until_the_round_after(_asked: SetControlInput) -> None:
            await stack.client.resume(job_id)
            generating.before, pausing.before = lose_the_answer, until_the_batch_ended
            provider.gate.set()
            await second_call.wait()

        async def lose_the_answer(_image: GenerateInput) -> None:
            second_call.set()
            raise ApplicationError("the answer was lost", category=ApplicationErrorCategory.BENIGN)

        async def until_the_batch_ended(_asked: SetControlInput) -> None:
            await until_batches_ended(stack, job_id, 2)

        pausing.before = until_the_round_after
        await stack.client.pause(job_id)
        await stack.end_of(job_id)


async def paused_before_it_opened(server: Server) -> None:
    """The signal is there before the job is open: nothing begins before the row says so."""
    opening = Between("open_job")
    async with server.stack(interceptors=[opening]) as stack:

        async def pause(started: StartRun) -> None:
            await stack.handle(started.job_id).signal("pause")

        opening.before = pause
        job_id = await stack.order(2, 1)
        await until_heard(stack, job_id, "set_control", 1)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)


async def held(server: Server) -> None:
    """The row says paused before the signal is there: the call is not begun, and asked for again a second later."""
    generating = Between("generate")
    async with server.stack(interceptors=[generating], stage_concurrency=1) as stack:

        async def pause_on_the_row(image: GenerateInput) -> None:
            await plant(
                stack, "update quel_production_jobs set paused = 1 where job_id = :id", id=str(image.key.job_id)
            )

        async def lift_it(image: GenerateInput) -> None:
            await plant(
                stack, "update quel_production_jobs set paused = 0 where job_id = :id", id=str(image.key.job_id)
            )

        generating.before, generating.after = pause_on_the_row, lift_it
        await stack.client.result(await stack.order(2))


async def continued_as_new(server: Server) -> None:
    """Paused again and again, until the history is long: it goes on in another one, under the same run."""
    provider = ScriptedProvider({(0, 0): [Act.MISS], (1, 0): [Act.REFUSE] * 9, (1, 1): [Act.REFUSE] * 9})
    async with server.stack(provider, stage_concurrency=1) as stack:
        stack.provider.gate.clear()
        await _pause_until_it_continues(stack, await stack.order(4, 2, 3))


async def continued_after_a_stage(server: Server) -> None:
    """The same, when a stage is complete already: the ids of its pictures are read."""
    async with server.stack(stage_concurrency=1) as stack:
        stack.provider.gate.clear()
        await _pause_until_it_continues(stack, await stack.order(1, 12))


async def drained_to_continue(server: Server) -> None:
    """Pauses so short that no batch ends: the one that runs, and the one that starts, are told to begin no more."""
    drawing, asking, is_long = Between("generate"), Between("next_ordinals"), asyncio.Event()
    provider = ScriptedProvider({(0, 0): [Act.MISS]})
    stack_of = server.stack(provider, interceptors=[drawing, asking], stage_concurrency=1, top_up_delay=0)
    with patch.object(continuing, "LONG_HISTORY", 80):
        async with stack_of as stack:

            async def hold_the_other_stage(image: GenerateInput) -> None:
                if image.key.stage_index == 0:
                    drawing.before = hold_the_other_stage
                else:
                    await is_long.wait()

            async def pause_until_it_is_long(asked: NextOrdinalsInput) -> None:
                for pauses in range(1, 9):
                    await stack.client.pause(asked.job_id)
                    await until_heard(stack, asked.job_id, "set_control", 2 * pauses - 1)
                    await stack.client.resume(asked.job_id)
                    await until_heard(stack, asked.job_id, "set_control", 2 * pauses)
                is_long.set()

            drawing.before, asking.before = hold_the_other_stage, pause_until_it_is_long
            await stack.client.result(await stack.order(1, 3))


async def _pause_until_it_continues(stack: WorkflowStack, job_id: UUID) -> None:
    first = (await stack.handle(job_id).describe()).run_id
    while (await stack.handle(job_id).describe()).run_id == first:
        calls = stack.provider.total_calls
        await stack.client.pause(job_id, "lunch")
        await until_paused(stack, job_id)
        stack.provider.gate.set()
        await stack.provider.until_idle()
        stack.provider.gate.clear()

        async def continued_or_quiet() -> bool:
            running = f"WorkflowId STARTS_WITH 'job-{job_id}/' AND ExecutionStatus = 'Running'"
            quiet = (await stack.temporal.count_workflows(running)).count == 0
            return quiet or (await stack.handle(job_id).describe()).run_id != first

        await until(continued_or_quiet, "the batches to end")
        await stack.client.resume(job_id)
        await stack.provider.until_calls(calls + 1)
    stack.provider.gate.set()
    await stack.client.result(job_id)
