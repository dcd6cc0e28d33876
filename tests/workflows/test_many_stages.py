"""Jobs with many stages: some deliver at a time, and what is known is not asked for."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowHistory

from darkroom.domain.names import job_workflow_id
from darkroom.domain.progress import JobStatus
from tests.replay.application import workflow_classes
from tests.replay.replaying import unsandboxed_replayer
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.payloads import largest_payload
from tests.support.stacks.watching import asked_for, end_of
from tests.support.stacks.workflow import WorkflowStack, running_stack

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

LARGEST_PAYLOAD = 16 * 1024
WORKFLOW_TASK = 10.0
"""Seconds that the server waits for a worker, which may have to replay the whole history first."""


async def job_histories(stack: WorkflowStack, job_id: UUID) -> list[WorkflowHistory]:
    """Of every execution of a job's own workflow, the first one first."""
    query = f"WorkflowId = '{job_workflow_id(job_id)}'"
    found = [one async for one in stack.temporal.list_workflows(query)]
    return [
        await stack.temporal.get_workflow_handle(one.id, run_id=one.run_id).fetch_history()
        for one in sorted(found, key=lambda one: one.start_time)
    ]


def activities(history: WorkflowHistory) -> Counter[str]:
    """How often a history asked for each type of activity."""
    return Counter(step for event in history.events if (step := asked_for(event)))


async def seconds_to_replay(histories: list[WorkflowHistory]) -> float:
    """Processor time that a worker needs for the costliest of them before it can go on with the job."""
    longest = 0.0
    with ThreadPoolExecutor() as executor:
        for history in histories:
            began = time.process_time()
            await unsandboxed_replayer(workflow_classes(), executor).replay_workflow(history)
            longest = max(longest, time.process_time() - began)
    return longest


async def test_stages_wait_for_their_turn_in_order(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, job_stages_at_once=3, stage_concurrency=1) as stack:
        job_id = await stack.held(*[2] * 8, calls=3)
        progress = (await stack.client.progress(job_id)).progress
        assert [stage.status.value for stage in progress.stages] == ["delivering"] * 3 + ["waiting"] * 5
        assert {stage for stage, _ in stack.provider.calls} == {0, 1, 2}
        stack.provider.gate.set()
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 16)
        await stack.check_invariants()


async def test_stages_that_wait_for_their_turn_hear_a_cancel(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, job_stages_at_once=1, stage_concurrency=1) as stack:
        job_id = await stack.held(1, 1, 1, calls=1)
        await stack.client.cancel(job_id)
        await stack.until_row(job_id, lambda row: row.cancel_requested, "the cancel")
        stack.provider.gate.set()
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.CANCELLED, 1, 1)
        assert [gap.reason for gap in receipt.missing] == ["cancelled"] * 2


async def test_a_round_with_misses_asks_the_records_for_nothing(skipping_client: TemporalClient, home: Path) -> None:
    script = {(0, 1): [Act.MISS], (0, 3): [Act.MISS], (1, 0): [Act.REFUSE]}
    async with running_stack(skipping_client, home, ScriptedProvider(script)) as stack:
        job_id = await stack.order(3, 2)
        receipt = await end_of(stack, job_id)
        assert (receipt.delivered, receipt.total.misses, receipt.total.refusals) == (5, 2, 1)
        assert set(stack.provider.calls) == {(0, n) for n in range(5)} | {(1, n) for n in range(3)}
        [history] = await job_histories(stack, job_id)
        assert activities(history) == {"open_job": 1, "close_job": 1, "remove_leftovers": 1}
        await stack.check_invariants()


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_thousand_stages_of_ten(skipping_client: TemporalClient, home: Path) -> None:
    chance = random.Random(8)
    misses = {(stage, n): [Act.MISS] for stage in range(1_000) for n in range(14) if chance.random() < 0.08}
    stack_of = running_stack(skipping_client, home, ScriptedProvider(misses), opening_balance=1_000_000)
    async with stack_of as stack:
        job_id = await stack.order(*[10] * 1_000)
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 10_000)
        assert receipt.total.provider_calls == stack.provider.total_calls == 10_000 + receipt.total.misses
        histories = await job_histories(stack, job_id)
        lengths = [len(history.events) for history in histories]
        assert max(lengths) < 15_000
        assert max(map(largest_payload, histories)) <= LARGEST_PAYLOAD
        print(f"1,000 stages of 10: {lengths} events, {sum(map(activities, histories), Counter())}")  # noqa: T201
        assert await seconds_to_replay(histories) < WORKFLOW_TASK
        await stack.check_invariants()
