"""What provider calls cost, on their rows, in receipts and in statistics."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from darkroom.domain.attempts import AttemptEnd
from darkroom.domain.costs import Cause, CostOf, Costs
from darkroom.domain.groups import AttachGroupInput
from darkroom.domain.images import AttachInput, Outcome
from darkroom.domain.jobs import End
from tests.support.records.fixture import PRICE, Job, RecordsFixture

COST = Decimal("0.034005")


async def called(job: Job, ordinal: int, provider: str = "gemini") -> UUID:
    """A call in progress."""
    call = uuid4()
    await job.begin(ordinal, call=call, provider=provider, looked=True)
    return call


async def ended(job: Job, ordinal: int, outcome: Outcome, cost: Decimal | None) -> None:
    """A call that brought no picture."""
    call = await called(job, ordinal)
    await job.records.finish_attempt(call, AttemptEnd(outcome=outcome, reason="said", seconds=1, cost_usd=cost))


def picture(job: Job, ordinal: int, call: UUID, cost: Decimal | None) -> AttachInput:
    return AttachInput(
        key=job.key(ordinal),
        run_id=job.run,
        call_id=call,
        seconds=1.0,
        cost_usd=cost,
        path=job.key(ordinal).final(job.order.user_id, call),
        size=1,
        sha256="00" * 32,
    )


async def made(job: Job, ordinal: int, cost: Decimal | None) -> None:
    """A picture that is stored and attached, not settled."""
    await job.records.attach(picture(job, ordinal, await called(job, ordinal), cost))


async def delivered(job: Job, ordinal: int, cost: Decimal | None) -> None:
    await made(job, ordinal, cost)
    await job.settle(ordinal)


async def spent_today(fixture: RecordsFixture) -> Costs:
    [day] = (await fixture.records.statistics(datetime.now(UTC).date())).providers
    return day.costs


async def test_every_cause_is_told_apart_in_receipt_and_statistics(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (10,))
    await delivered(job, 0, COST)
    await delivered(job, 1, None)
    await ended(job, 2, Outcome.MISSED, Decimal("0.001155"))
    await ended(job, 3, Outcome.REFUSED, Decimal("0.000405"))
    await ended(job, 4, Outcome.FAULT, Decimal(0))
    await ended(job, 4, Outcome.FAULT, None)
    await made(job, 5, COST)
    await called(job, 6)
    expected = {
        Cause.DELIVERED: CostOf(calls=2, usd=COST, unknown=1),
        Cause.MISSED: CostOf(calls=1, usd=Decimal("0.001155")),
        Cause.REFUSED: CostOf(calls=1, usd=Decimal("0.000405")),
        Cause.FAULT: CostOf(calls=2, unknown=1),
        Cause.UNUSED: CostOf(calls=1, usd=COST),
        Cause.UNKNOWN: CostOf(calls=1, unknown=1),
    }
    assert (await spent_today(fixture)).by_cause == expected
    receipt = await job.close(End.CANCELLED)
    assert receipt.total.costs is not None
    assert receipt.total.costs.by_cause == expected
    assert receipt.last_run.costs == receipt.total.costs
    assert await fixture.records.receipt(job.job_id) == receipt


async def test_the_account_sets_the_charged_credits_against_the_cost(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    await delivered(job, 0, COST)
    await delivered(job, 1, COST)
    await ended(job, 2, Outcome.MISSED, Decimal("0.001155"))
    await called(job, 3)
    receipt = (await job.close(End.CANCELLED)).drawn_up(Decimal("0.005"))
    assert receipt.total.costs is not None
    account = receipt.total.costs.account
    assert account is not None
    assert (account.usd, account.usd_without_picture) == (2 * COST + Decimal("0.001155"), Decimal("0.001155"))
    assert account.unknown_calls == 1
    assert (account.income_usd, account.margin_usd) == (
        2 * PRICE * Decimal("0.005"),
        2 * PRICE * Decimal("0.005") - account.usd,
    )


async def test_an_attempts_cost_is_written_once(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    call = await called(job, 0)
    for cost in (COST, 2 * COST):
        await job.records.finish_attempt(call, AttemptEnd(outcome=Outcome.MISSED, seconds=1, cost_usd=cost))
    call = await called(job, 1)
    for cost in (COST, 2 * COST):
        await job.records.attach(picture(job, 1, call, cost))
    assert (await spent_today(fixture)).by_cause == {
        Cause.MISSED: CostOf(calls=1, usd=COST),
        Cause.UNUSED: CostOf(calls=1, usd=COST),
    }


async def test_a_group_of_pictures_brings_the_cost_of_each(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    costs = (COST, None, Decimal("0.0000015"))
    images = [picture(job, ordinal, await called(job, ordinal), cost) for ordinal, cost in enumerate(costs)]
    await job.records.attach_group(AttachGroupInput.of(images))
    for ordinal in range(3):
        await job.settle(ordinal)
    assert (await spent_today(fixture)).by_cause == {
        Cause.DELIVERED: CostOf(calls=3, usd=COST + Decimal("0.0000015"), unknown=1)
    }


async def test_a_picture_that_was_made_twice_is_unused_once(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1,))
    first, second = await called(job, 0), await called(job, 0)
    await job.records.attach(picture(job, 0, first, COST))
    await job.records.attach(picture(job, 0, second, 2 * COST))
    await job.settle(0)
    assert (await spent_today(fixture)).by_cause == {
        Cause.UNUSED: CostOf(calls=1, usd=COST),
        Cause.DELIVERED: CostOf(calls=1, usd=2 * COST),
    }


async def test_each_run_of_a_job_has_its_own_costs(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await delivered(job, 0, COST)
    await job.close(End.CANCELLED)
    await job.open(job.named(2), restart=True)
    await delivered(job, 1, 3 * COST)
    receipt = await job.close()
    assert receipt.total.costs is not None
    assert receipt.last_run.costs is not None
    assert receipt.total.costs.of(Cause.DELIVERED) == CostOf(calls=2, usd=4 * COST)
    assert receipt.last_run.costs.of(Cause.DELIVERED) == CostOf(calls=1, usd=3 * COST)


async def test_many_small_costs_add_up_exactly(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(100_000), (300,))
    for ordinal in range(300):
        await ended(job, ordinal, Outcome.MISSED, Decimal("0.0336015"))
    assert (await spent_today(fixture)).of(Cause.MISSED) == CostOf(calls=300, usd=300 * Decimal("0.0336015"))
