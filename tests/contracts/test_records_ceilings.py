"""Daily ceilings: what all workers together may ask of a provider, and begin for a user, from midnight to midnight."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from darkroom.domain.attempts import AttemptEnd, Begin, BegunAttempt
from darkroom.domain.ceilings import Ceiling, Ceilings, Spent, day_of
from darkroom.domain.images import Outcome
from tests.support.records.fixture import PRICE, Job, RecordsFixture

CALL = Decimal("0.05")


def of_provider(usd: str) -> Ceilings:
    return Ceilings(provider_usd=Decimal(usd), call_usd=CALL, user_credits=None)


def of_user(pictures: int) -> Ceilings:
    return Ceilings(provider_usd=None, call_usd=CALL, user_credits=pictures * PRICE)


async def at_once(fixture: RecordsFixture, jobs: list[Job], number: int, ceilings: Ceilings) -> list[BegunAttempt]:
    """So many calls of each job, begun together over all connections."""
    connections = fixture.connections
    return await asyncio.gather(
        *(
            job.begin(ordinal, provider="gemini", ceilings=ceilings, through=connections[ordinal % len(connections)])
            for ordinal in range(number)
            for job in jobs
        )
    )


def begun(answers: list[BegunAttempt]) -> int:
    return [answer.begin for answer in answers].count(Begin.BEGUN)


async def call(job: Job, ordinal: int, ceilings: Ceilings) -> UUID | None:
    """A call in progress; None when a ceiling allowed none."""
    answer = await job.begin(ordinal, provider="gemini", looked=True, ceilings=ceilings)
    return answer.call_id


async def end(job: Job, call_id: UUID | None, outcome: Outcome, cost: str | None) -> None:
    assert call_id is not None
    usd = None if cost is None else Decimal(cost)
    await job.records.finish_attempt(call_id, AttemptEnd(outcome=outcome, seconds=1, cost_usd=usd))


async def test_calls_at_once_never_exceed_a_providers_ceiling(fixture: RecordsFixture) -> None:
    jobs = [await fixture.opened(await fixture.member(10_000), (40,)) for _ in range(3)]
    answers = await at_once(fixture, jobs, 20, of_provider("0.5"))
    assert begun(answers) == 10
    refused = [answer for answer in answers if answer.begin is not Begin.BEGUN]
    assert {(answer.begin, answer.spent and answer.spent.ceiling) for answer in refused} == {
        (Begin.SPENT, Ceiling.PROVIDER)
    }
    assert len((await fixture.dump())["quel_generation_attempts"]) == 10


async def test_pictures_at_once_never_exceed_a_users_ceiling(fixture: RecordsFixture) -> None:
    user, other = await fixture.member(10_000), await fixture.member(10_000)
    jobs = [await fixture.opened(user, (40,)) for _ in range(2)]
    answers = await at_once(fixture, jobs, 20, of_user(7))
    assert begun(answers) == 7
    assert {answer.spent.ceiling for answer in answers if answer.spent} == {Ceiling.USER}
    assert begun(await at_once(fixture, [await fixture.opened(other, (2,))], 2, of_user(7))) == 2


async def test_a_call_counts_by_setting_until_its_cost_is_known(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    ceilings = of_provider("0.1")
    first, second = await call(job, 0, ceilings), await call(job, 1, ceilings)
    assert await call(job, 2, ceilings) is None
    await end(job, first, Outcome.MISSED, "0.01")
    assert await call(job, 2, ceilings) is None, "0.06 is spent, and 0.05 more would be too much"
    await end(job, second, Outcome.FAULT, "0")
    third = await call(job, 2, ceilings)
    assert third is not None
    await end(job, third, Outcome.MISSED, "0.09")
    assert await call(job, 3, ceilings) is None


async def test_a_call_that_a_crash_took_counts_by_setting(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    ceilings = of_provider("0.1")
    await call(job, 0, ceilings)
    await end(job, await call(job, 1, ceilings), Outcome.MISSED, None)
    assert await call(job, 2, ceilings) is None


async def test_what_is_spent_lasts_until_midnight_and_what_is_in_progress_may_not(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    for ceilings, ceiling in ((of_provider("0.05"), Ceiling.PROVIDER), (of_user(1), Ceiling.USER)):
        ordinal = 2 * list(Ceiling).index(ceiling)
        await fixture.tables.change("delete from quel_generation_attempts")
        in_progress = await call(job, ordinal, ceilings)
        now = datetime.now(UTC)
        spent = (await job.begin(ordinal + 1, provider="gemini", ceilings=ceilings)).spent
        assert spent is not None
        assert (spent.ceiling, spent.may_free) == (ceiling, True)
        assert timedelta(seconds=30) < spent.until - now < timedelta(minutes=10)
        await end(job, in_progress, Outcome.GENERATED, "0.05")
        _, midnight = day_of(datetime.now(UTC))
        spent = (await job.begin(ordinal + 1, provider="gemini", ceilings=ceilings)).spent
        assert spent == Spent(ceiling=ceiling, until=midnight)


async def test_providers_have_ceilings_of_their_own(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    ceilings = of_provider("0.05")
    assert await call(job, 0, ceilings) is not None
    assert await call(job, 1, ceilings) is None
    assert (await job.begin(1, provider="runware", ceilings=ceilings)).begin is Begin.BEGUN


async def test_a_picture_counts_once_for_its_user_however_often_it_is_asked_for(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    ceilings = of_user(2)
    assert await call(job, 0, ceilings) is not None
    assert await call(job, 0, ceilings) is not None
    assert await call(job, 1, ceilings) is not None
    assert await call(job, 2, ceilings) is None


async def test_what_brought_no_picture_is_free_for_its_user(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    ceilings = of_user(1)
    await end(job, await call(job, 0, ceilings), Outcome.MISSED, None)
    second = await call(job, 1, ceilings)
    assert second is not None
    await job.attach(1, call=second)
    await job.settle(1)
    assert await call(job, 2, ceilings) is None


async def test_jobs_without_a_user_have_no_ceiling_of_one(fixture: RecordsFixture) -> None:
    job = await fixture.opened(None, (9,))
    assert [await call(job, ordinal, of_user(1)) is not None for ordinal in range(3)] == [True] * 3


async def test_a_new_day_begins_at_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    ceilings = Ceilings(provider_usd=CALL, call_usd=CALL, user_credits=PRICE)
    first = await call(job, 0, ceilings)
    assert first is not None
    assert await call(job, 1, ceilings) is None
    began, _ = day_of(datetime.now(UTC))
    await fixture.tables.plant(
        "update quel_generation_attempts set started_at = :then where call_id = :call",
        then=(began - timedelta(seconds=1)).isoformat(timespec="microseconds"),
        call=str(first),
    )
    assert await call(job, 1, ceilings) is not None


async def test_without_ceilings_nothing_is_held_up(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    await call(job, 0, of_provider("0.05"))
    assert (await job.begin(1, provider="gemini")).begin is Begin.BEGUN
    assert (await job.begin(0, provider="gemini", ceilings=of_provider("0.05"), call=uuid4())).begin is Begin.LOOK
