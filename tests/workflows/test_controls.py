"""Pauses, resumes and cancels at awkward moments (spec §2, §5)."""

import asyncio
import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities import jobs
from darkroom.domain.batches import NextOrdinalsInput, SetControlInput
from darkroom.domain.images import GenerateInput
from darkroom.domain.names import job_workflow_id
from darkroom.domain.progress import JobStatus
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.watching import (
    Between,
    BrokenFolder,
    end_of,
    events,
    until_batches_ended,
    until_heard,
    without_time_skipping,
)
from tests.support.stacks.workflow import PRICE, running_stack
from tests.support.stacks.workflow import WorkflowStack as Stack
from tests.support.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("workflows")]


async def _timers(stack: Stack, job_id: UUID) -> list[timedelta]:
    """The timers that the job's workflow has started."""
    return [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
        for event in await events(stack, job_workflow_id(job_id))
        if event.HasField("timer_started_event_attributes")
    ]


async def _batches(stack: Stack, job_id: UUID) -> int:
    """How many batches the job's workflow has begun."""
    return sum(
        event.HasField("start_child_workflow_execution_initiated_event_attributes")
        for event in await events(stack, job_workflow_id(job_id))
    )


async def _until_paused(stack: Stack, job_id: UUID) -> None:
    async def paused() -> bool:
        return (await stack.row(job_id)).paused

    await until(paused, "the pause on the row")


async def _paused_while_the_quota_was_spent(stack: Stack, quantity: int) -> UUID:
    """A job that the user pauses for lunch while its first call is under way, which then meets a spent quota."""
    stack.provider.gate.clear()
    job_id = await stack.order(quantity)
    await stack.provider.until_calls(1)
    await stack.client.pause(job_id, "lunch")
    await until_heard(stack, job_id, "set_control", 1)
    stack.provider.gate.set()
    await until_heard(stack, job_id, "set_control", 2)
    return job_id


async def test_a_quota_that_is_back_does_not_lift_the_users_pause(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 0): [Act.QUOTA]})
    async with running_stack(skipping_client, home, provider, stage_concurrency=1) as stack:
        job_id = await _paused_while_the_quota_was_spent(stack, 2)
        await until_heard(stack, job_id, "set_control", 3)
        row = await stack.row(job_id)
        assert (row.status, row.paused, row.pause_reason) == (JobStatus.PROCESSING, True, "lunch")
        assert provider.total_calls == 1
        await stack.client.resume(job_id)
        receipt = await end_of(stack, job_id)
        assert receipt.delivered == 2
        assert provider.calls == {(0, 0): 2, (0, 1): 1}
        await stack.check_invariants()


async def test_resume_lifts_the_users_pause_and_that_of_a_spent_quota(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, 0): [Act.QUOTA]})
    async with running_stack(without_time_skipping(skipping_client), home, provider, stage_concurrency=1) as stack:
        job_id = await _paused_while_the_quota_was_spent(stack, 2)
        await stack.client.resume(job_id)
        assert (await end_of(stack, job_id)).delivered == 2
        await stack.check_invariants()


async def test_a_spent_quota_is_shown_and_pauses_the_other_stages_too(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, 0): [Act.QUOTA]})
    provider.gate.clear()
    async with running_stack(without_time_skipping(skipping_client), home, provider, stage_concurrency=1) as stack:
        job_id = await stack.order(2, 3)
        await provider.until_calls(2)
        provider.gate.set()
        await until_batches_ended(stack, job_id, 2)
        row = await stack.row(job_id)
        assert (row.status, row.paused) == (JobStatus.PROCESSING, True)
        assert row.pause_reason == "the daily quota is spent"
        assert provider.total_calls < 5
        await stack.client.resume(job_id)
        receipt = await end_of(stack, job_id)
        assert receipt.delivered == 5
        assert provider.calls == {(0, 0): 2, (0, 1): 1, (1, 0): 1, (1, 1): 1, (1, 2): 1}
        await stack.check_invariants()


async def test_a_quota_that_claims_to_be_back_already_is_no_busy_loop_of_calls(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, 0): [Act.QUOTA] * 2})
    provider.quota_until = datetime.now(UTC) - timedelta(hours=1)
    async with running_stack(skipping_client, home, provider, stage_concurrency=1) as stack:
        job_id = await stack.order(1)
        receipt = await end_of(stack, job_id)
        assert (receipt.delivered, provider.total_calls) == (1, 3)
        waited = await _timers(stack, job_id)
        assert min(waited) >= timedelta(seconds=59), waited
        assert max(waited) > timedelta(seconds=110), "the second pause is twice as long"
        await stack.check_invariants()


async def test_a_pause_while_a_round_asks_for_its_ordinals_neither_ends_the_job_nor_uses_up_the_round(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "GENERATION", 1)  # a later one asks only after a round of which not all was told
    asking = Between("next_ordinals")
    provider = ScriptedProvider({(0, 1): [Act.MISS]})
    async with running_stack(skipping_client, home, provider, interceptors=[asking]) as stack:

        async def pause(asked: NextOrdinalsInput) -> None:
            await stack.client.pause(asked.job_id)
            await _until_paused(stack, asked.job_id)
            await until_heard(stack, asked.job_id, "set_control", 1)

        asking.before = pause
        job_id = await stack.order(2, max_top_ups=1)
        await until_heard(stack, job_id, "next_ordinals", 1)
        # A batch that was begun all the same must end, and be taken in, before the resume can come to its rescue.
        await until_batches_ended(stack, job_id, await _batches(stack, job_id))
        row = await stack.row(job_id)
        assert (row.status, row.paused, stack.provider.total_calls) == (JobStatus.PROCESSING, True, 2)
        assert (await stack.handle(job_id).describe()).status is WorkflowExecutionStatus.RUNNING
        await stack.client.resume(job_id)
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)
        assert receipt.total.top_up_rounds == 1
        assert stack.provider.calls == {(0, 0): 1, (0, 1): 1, (0, 2): 1}
        await stack.check_invariants()


async def test_a_pause_and_its_resume_while_a_round_asks_for_its_ordinals_change_nothing(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "GENERATION", 1)  # a later one asks only after a round of which not all was told
    asking = Between("next_ordinals")
    provider = ScriptedProvider({(0, 1): [Act.MISS]})
    async with running_stack(skipping_client, home, provider, interceptors=[asking]) as stack:

        async def pause_and_resume(asked: NextOrdinalsInput) -> None:
            await stack.client.pause(asked.job_id)
            await until_heard(stack, asked.job_id, "set_control", 1)
            await stack.client.resume(asked.job_id)
            await until_heard(stack, asked.job_id, "set_control", 2)

        asking.before = pause_and_resume
        receipt = await end_of(stack, await stack.order(2, max_top_ups=1))
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)
        assert stack.provider.calls == {(0, 0): 1, (0, 1): 1, (0, 2): 1}
        await stack.check_invariants()


async def test_a_resume_that_overtakes_its_pause_neither_ends_the_job_nor_uses_up_the_round(
    skipping_client: TemporalClient, home: Path
) -> None:
    """The pause reaches a batch that was begun after the resume was asked for, and before the row said either."""
    pausing, calling = Between("set_control"), Between("generate")
    provider = ScriptedProvider({(0, 0): [Act.MISS]})
    second_call = asyncio.Event()
    async with running_stack(
        skipping_client, home, provider, interceptors=[pausing, calling], stage_concurrency=1
    ) as stack:
        job_id = await stack.held(1, calls=1, max_top_ups=1)

        async def until_the_round_after(asked: SetControlInput) -> None:
            assert asked.control.paused
            await stack.client.resume(job_id)
            calling.before = lose_the_answer
            pausing.before = until_the_batch_ended
            provider.gate.set()
            await second_call.wait()

        async def lose_the_answer(_image: GenerateInput) -> None:
            second_call.set()
            raise ApplicationError("the answer was lost", category=ApplicationErrorCategory.BENIGN)

        async def until_the_batch_ended(asked: SetControlInput) -> None:
            assert not asked.control.paused
            await until_batches_ended(stack, job_id, 2)

        pausing.before = until_the_round_after
        await stack.client.pause(job_id)
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 1)
        assert provider.calls == {(0, 0): 1, (0, 1): 1}
        await stack.check_invariants()


async def test_a_cancel_during_a_pause_delivers_what_staging_could_not_take_before(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = BrokenFolder(monkeypatch, errno.ENOSPC, "/staging/")
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.order(3)
        await staging.until_failed()
        await stack.client.pause(job_id)
        await stack.client.cancel(job_id)
        assert (await stack.row(job_id)).status is JobStatus.PROCESSING, "the call is open until its picture is staged"
        staging.mended = True
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered, receipt.total.charged) == (JobStatus.CANCELLED, 1, PRICE)
        assert (receipt.total.provider_calls, receipt.total.unknown_calls) == (1, 0)
        assert stack.provider.total_calls == 1
        await stack.check_invariants()


async def test_a_cancel_during_a_pause_delivers_what_a_lost_worker_had_staged(
    skipping_client: TemporalClient, home: Path
) -> None:
    generating = Between("generate")
    async with running_stack(skipping_client, home, interceptors=[generating], stage_concurrency=1) as stack:

        async def lose_the_answer_after_a_pause(image: GenerateInput) -> None:
            await stack.client.pause(image.key.job_id)
            await until_heard(stack, image.key.job_id, "set_control", 1)
            raise ApplicationError("the answer was lost", category=ApplicationErrorCategory.BENIGN)

        generating.after = lose_the_answer_after_a_pause
        job_id = await stack.order(3)
        await until_batches_ended(stack, job_id)
        assert (await stack.row(job_id)).completed_images == 0
        await stack.client.cancel(job_id)
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered, receipt.total.charged) == (JobStatus.CANCELLED, 1, PRICE)
        assert (receipt.total.provider_calls, receipt.total.unknown_calls) == (1, 0)
        await stack.check_invariants()
