"""When a provider is down, out of quota or refuses, the next one of the order makes the rest (spec §5)."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client as TemporalClient

from darkroom.domain.images import ImageRequest, ProviderAnswer
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.workflow import WorkflowStack, running_stack


class Always(ScriptedProvider):
    """Does the same with every call, until told otherwise."""

    def __init__(self, act: Act) -> None:
        super().__init__()
        self.act = act

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        self.script[(request.stage_index, request.ordinal)] = [self.act] * 99
        return await super().generate(request)


def made_by(receipt: Receipt) -> dict[str, tuple[int, int]]:
    """By provider: pictures delivered, and calls."""
    return {one.provider: (one.delivered, one.calls) for one in receipt.total.made_by}


BOTH = {"providers": ["first", "second"]}


async def delivered(stack: WorkflowStack, *quantities: int) -> Receipt:
    """An order that names both providers, to its end."""
    job_id = await stack.order(*quantities, **BOTH)
    receipt = await stack.client.result(job_id)
    await stack.check_invariants()
    return receipt


async def test_the_second_is_not_asked_while_the_first_delivers(skipping_client: TemporalClient, home: Path) -> None:
    first, second = ScriptedProvider(), ScriptedProvider()
    async with running_stack(skipping_client, home, providers={"first": first, "second": second}) as stack:
        receipt = await delivered(stack, 4, 3)
        assert made_by(receipt) == {"first": (7, 7)}
        assert second.total_calls == 0


async def test_one_that_is_out_of_quota_hands_over_without_a_pause(skipping_client: TemporalClient, home: Path) -> None:
    first, second = Always(Act.QUOTA), ScriptedProvider()
    async with running_stack(
        skipping_client, home, providers={"first": first, "second": second}, stage_concurrency=2
    ) as stack:
        receipt = await delivered(stack, 6, 6)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 12)
        assert made_by(receipt)["second"] == (12, 12)
        assert first.total_calls <= 4
        assert receipt.total.top_up_rounds == 0


async def test_the_job_pauses_only_when_all_are_out_of_quota(skipping_client: TemporalClient, home: Path) -> None:
    first, second = Always(Act.QUOTA), Always(Act.QUOTA)
    first.quota_until = datetime.now(UTC) + timedelta(hours=5)
    second.quota_until = datetime.now(UTC) + timedelta(hours=2)
    async with running_stack(skipping_client, home, providers={"first": first, "second": second}) as stack:
        job_id = await stack.order(3, **BOTH)
        await stack.until_paused(job_id)
        assert (await stack.row(job_id)).pause_reason == "the daily quota is spent"
        assert min(first.total_calls, second.total_calls) >= 1
        calls = first.total_calls
        second.act = Act.DRAW
        # Time is skipped to when the first quota is back, that of the second in the order.
        receipt = await stack.client.result(job_id)
        assert (receipt.delivered, made_by(receipt)["second"][0]) == (3, 3)
        assert first.total_calls == calls
        await stack.check_invariants()


async def test_resume_asks_the_first_again(skipping_client: TemporalClient, home: Path) -> None:
    first, second = Always(Act.QUOTA), Always(Act.QUOTA)
    async with running_stack(skipping_client, home, providers={"first": first, "second": second}) as stack:
        job_id = await stack.order(3, **BOTH)
        await stack.until_paused(job_id)
        first.act = Act.DRAW
        await stack.client.resume(job_id)
        receipt = await stack.client.result(job_id)
        assert made_by(receipt)["first"][0] == 3


async def test_one_that_refuses_hands_over_and_is_not_asked_again(skipping_client: TemporalClient, home: Path) -> None:
    first, second = Always(Act.REFUSE), ScriptedProvider()
    async with running_stack(
        skipping_client, home, providers={"first": first, "second": second}, stage_concurrency=1
    ) as stack:
        receipt = await delivered(stack, 5)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 5)
        assert made_by(receipt) == {"first": (0, 3), "second": (5, 5)}
        assert receipt.total.refusals == 3


async def test_a_page_that_one_refuses_is_the_next_ones_in_the_next_round(
    skipping_client: TemporalClient, home: Path
) -> None:
    """A stage of one picture has three rounds: three refusals would use them up."""
    first, second = Always(Act.REFUSE), ScriptedProvider()
    async with running_stack(skipping_client, home, providers={"first": first, "second": second}) as stack:
        receipt = await delivered(stack, 1, 1, 1)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 3)
        assert made_by(receipt) == {"first": (0, 3), "second": (3, 3)}


async def test_without_top_ups_a_refusal_is_not_taken_elsewhere(skipping_client: TemporalClient, home: Path) -> None:
    first, second = Always(Act.REFUSE), ScriptedProvider()
    async with running_stack(skipping_client, home, providers={"first": first, "second": second}) as stack:
        job_id = await stack.order(1, max_top_ups=0, **BOTH)
        receipt = await stack.client.result(job_id)
        assert (receipt.status, second.total_calls) == (JobStatus.FAILED, 0)


async def test_a_stage_that_waits_for_the_only_one_left_pauses_the_job_and_says_so(
    skipping_client: TemporalClient, home: Path
) -> None:
    """The first refuses one stage and delivers the other; the second is out of quota: nobody is left."""
    first, second = ScriptedProvider({(0, ordinal): [Act.REFUSE] for ordinal in range(3)}), Always(Act.QUOTA)
    second.quota_until = datetime.now(UTC) + timedelta(days=2)
    providers = {"first": first, "second": second}
    async with running_stack(skipping_client, home, providers=providers, stage_concurrency=1) as stack:
        with capture_logs() as lines:
            job_id = await stack.order(3, 2, **BOTH)
            await second.until_calls(1)
            second.act = Act.DRAW
            # Time is skipped to when the quota is back.
            receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 5)
        assert made_by(receipt)["second"][0] == 3
        assert [line["reason"] for line in lines if line["event"] == "job paused"] == ["the daily quota is spent"]
        await stack.check_invariants()


async def test_a_job_that_waits_like_this_can_be_cancelled(skipping_client: TemporalClient, home: Path) -> None:
    first, second = Always(Act.REFUSE), Always(Act.QUOTA)
    second.quota_until = datetime.now(UTC) + timedelta(days=2)
    providers = {"first": first, "second": second}
    async with running_stack(skipping_client, home, providers=providers, stage_concurrency=1) as stack:
        job_id = await stack.order(2, **BOTH)
        await second.until_calls(1)
        assert (await stack.client.cancel(job_id)).success
        assert (await stack.client.result(job_id)).status is JobStatus.CANCELLED
        await stack.check_invariants()


class LaterForTheSecondStage(Always):
    """Says of the second stage, when it may, that the quota is back an hour later than it said of the first."""

    def __init__(self, act: Act) -> None:
        super().__init__(act)
        self.may_answer = asyncio.Event()

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        if request.stage_index == 1 and not self.may_answer.is_set():
            await self.may_answer.wait()
            self.quota_until += timedelta(hours=1)
        return await super().generate(request)


async def test_a_quota_that_was_spent_anew_meanwhile_is_waited_for(skipping_client: TemporalClient, home: Path) -> None:
    first = LaterForTheSecondStage(Act.QUOTA)
    async with running_stack(skipping_client, home, providers={"first": first}) as stack:
        with capture_logs() as lines:
            job_id = await stack.order(1, 1, providers=["first"])
            # No time is skipped while the call of the second stage is under way.
            await stack.until_paused(job_id)
            first.may_answer.set()
            await first.until_calls(2)
            first.act = Act.DRAW
            receipt = await stack.client.result(job_id)
        assert (receipt.delivered, receipt.total.provider_calls) == (2, 4)
        assert len([line for line in lines if line["event"] == "job paused"]) == 2


async def test_a_stage_that_all_refuse_stops(skipping_client: TemporalClient, home: Path) -> None:
    providers = {"first": Always(Act.REFUSE), "second": Always(Act.REFUSE)}
    async with running_stack(skipping_client, home, providers=providers, stage_concurrency=1) as stack:
        receipt = await delivered(stack, 5)
        assert (receipt.status, receipt.delivered, receipt.total.refusals) == (JobStatus.FAILED, 0, 6)
        assert "against the policy" in receipt.missing[0].reason


async def test_a_final_refusal_is_not_taken_elsewhere(skipping_client: TemporalClient, home: Path) -> None:
    first, second = Always(Act.REFUSE_FINALLY), ScriptedProvider()
    async with running_stack(
        skipping_client, home, providers={"first": first, "second": second}, stage_concurrency=1
    ) as stack:
        receipt = await delivered(stack, 3)
        assert (receipt.status, receipt.total.refusals, second.total_calls) == (JobStatus.FAILED, 1, 0)


async def test_one_that_is_down_hands_over_what_it_did_not_answer(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Twenty attempts are the rule; the server waits about a second before each, so here two are the last.
    monkeypatch.setattr("worker.PROVIDER_ATTEMPTS", 2)
    first, second = Always(Act.FAULT), ScriptedProvider()
    async with running_stack(
        skipping_client, home, providers={"first": first, "second": second}, stage_concurrency=2
    ) as stack:
        receipt = await delivered(stack, 6)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 6)
        assert made_by(receipt)["second"] == (6, 6)
        # Two lanes tried as often as is tried, and nothing that waited behind them did.
        assert receipt.total.misses <= 2


async def test_one_alone_that_is_down_is_asked_in_every_round(skipping_client: TemporalClient, home: Path) -> None:
    first = Always(Act.MISS)
    async with running_stack(skipping_client, home, providers={"first": first}, max_top_ups=1) as stack:
        job_id = await stack.order(2, providers=["first"])
        receipt = await stack.client.result(job_id)
        assert (receipt.status, receipt.total.misses) == (JobStatus.FAILED, 4)
