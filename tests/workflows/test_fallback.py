"""When a provider is down, out of quota or refuses, the next one of the order makes the rest (spec §5)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import Client

from darkroom.domain.images import ImageRequest, ProviderAnswer
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt
from tests.workflows.scripted import Act, ScriptedProvider
from tests.workflows.stack import Stack, running_stack, until


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


async def delivered(stack: Stack, *quantities: int) -> Receipt:
    """An order that names both providers, to its end."""
    job_id = await stack.order(*quantities, **BOTH)
    receipt = await stack.desk.result(job_id)
    await stack.check_invariants()
    return receipt


async def test_the_second_is_not_asked_while_the_first_delivers(skipping_client: Client, home: Path) -> None:
    first, second = ScriptedProvider(), ScriptedProvider()
    async with running_stack(skipping_client, home, providers={"first": first, "second": second}) as stack:
        receipt = await delivered(stack, 4, 3)
        assert made_by(receipt) == {"first": (7, 7)}
        assert second.total_calls == 0


async def test_one_that_is_out_of_quota_hands_over_without_a_pause(skipping_client: Client, home: Path) -> None:
    first, second = Always(Act.QUOTA), ScriptedProvider()
    async with running_stack(
        skipping_client, home, providers={"first": first, "second": second}, stage_concurrency=2
    ) as stack:
        receipt = await delivered(stack, 6, 6)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 12)
        assert made_by(receipt)["second"] == (12, 12)
        assert first.total_calls <= 4
        assert receipt.total.top_up_rounds == 0


async def test_the_job_pauses_only_when_all_are_out_of_quota(skipping_client: Client, home: Path) -> None:
    first, second = Always(Act.QUOTA), Always(Act.QUOTA)
    first.quota_until = datetime.now(UTC) + timedelta(hours=5)
    second.quota_until = datetime.now(UTC) + timedelta(hours=2)
    async with running_stack(skipping_client, home, providers={"first": first, "second": second}) as stack:
        job_id = await stack.order(3, **BOTH)

        async def paused() -> bool:
            return (await stack.row(job_id)).paused

        await until(paused, "the pause")
        assert (await stack.row(job_id)).pause_reason == "the daily quota is spent"
        assert min(first.total_calls, second.total_calls) >= 1
        calls = first.total_calls
        second.act = Act.DRAW
        # Time is skipped to when the first quota is back, that of the second in the order.
        receipt = await stack.desk.result(job_id)
        assert (receipt.delivered, made_by(receipt)["second"][0]) == (3, 3)
        assert first.total_calls == calls
        await stack.check_invariants()


async def test_resume_asks_the_first_again(skipping_client: Client, home: Path) -> None:
    first, second = Always(Act.QUOTA), Always(Act.QUOTA)
    async with running_stack(skipping_client, home, providers={"first": first, "second": second}) as stack:
        job_id = await stack.order(3, **BOTH)

        async def paused() -> bool:
            return (await stack.row(job_id)).paused

        await until(paused, "the pause")
        first.act = Act.DRAW
        await stack.desk.resume(job_id)
        receipt = await stack.desk.result(job_id)
        assert made_by(receipt)["first"][0] == 3


async def test_one_that_refuses_hands_over_and_is_not_asked_again(skipping_client: Client, home: Path) -> None:
    first, second = Always(Act.REFUSE), ScriptedProvider()
    async with running_stack(
        skipping_client, home, providers={"first": first, "second": second}, stage_concurrency=1
    ) as stack:
        receipt = await delivered(stack, 5)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 5)
        assert made_by(receipt) == {"first": (0, 3), "second": (5, 5)}
        assert receipt.total.refusals == 3


async def test_a_stage_that_all_refuse_stops(skipping_client: Client, home: Path) -> None:
    providers = {"first": Always(Act.REFUSE), "second": Always(Act.REFUSE)}
    async with running_stack(skipping_client, home, providers=providers, stage_concurrency=1) as stack:
        receipt = await delivered(stack, 5)
        assert (receipt.status, receipt.delivered, receipt.total.refusals) == (JobStatus.FAILED, 0, 6)
        assert "against the policy" in receipt.missing[0].reason


async def test_a_final_refusal_is_not_taken_elsewhere(skipping_client: Client, home: Path) -> None:
    first, second = Always(Act.REFUSE_FINALLY), ScriptedProvider()
    async with running_stack(
        skipping_client, home, providers={"first": first, "second": second}, stage_concurrency=1
    ) as stack:
        receipt = await delivered(stack, 3)
        assert (receipt.status, receipt.total.refusals, second.total_calls) == (JobStatus.FAILED, 1, 0)


async def test_one_that_is_down_hands_over_what_it_did_not_answer(
    skipping_client: Client, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Twenty attempts are the rule; the server waits about a second before each, so here two are the last.
    monkeypatch.setattr("darkroom.workers.PROVIDER_ATTEMPTS", 2)
    first, second = Always(Act.FAULT), ScriptedProvider()
    async with running_stack(
        skipping_client, home, providers={"first": first, "second": second}, stage_concurrency=2
    ) as stack:
        receipt = await delivered(stack, 6)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 6)
        assert made_by(receipt)["second"] == (6, 6)
        # Two lanes tried as often as is tried, and nothing that waited behind them did.
        assert receipt.total.misses <= 2


async def test_one_alone_that_is_down_is_asked_in_every_round(skipping_client: Client, home: Path) -> None:
    first = Always(Act.MISS)
    async with running_stack(skipping_client, home, providers={"first": first}, max_top_ups=1) as stack:
        job_id = await stack.order(2, providers=["first"])
        receipt = await stack.desk.result(job_id)
        assert (receipt.status, receipt.total.misses) == (JobStatus.FAILED, 4)
