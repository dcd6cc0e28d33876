"""What providers did by day, who made how many, and holds that an ended job left open."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from darkroom.domain.attempts import Attempt, AttemptEnd
from darkroom.domain.images import AttachInput, Outcome
from darkroom.domain.jobs import End
from darkroom.domain.receipts import MadeBy
from darkroom.domain.statistics import Statistics
from tests.support.records.fixture import PRICE, Job, RecordsFixture


def today() -> datetime:
    return datetime.now(UTC)


async def made(job: Job, ordinal: int, provider: str, seconds: float, round_: int = 0) -> None:
    """A picture by this provider, delivered."""
    call = uuid4()
    attempt = Attempt(key=job.key(ordinal), run_id=job.run, call_id=call, round=round_, provider=provider, attempt=1)
    await job.records.begin_attempt(attempt, looked=True)
    await job.records.attach(
        AttachInput(
            key=job.key(ordinal),
            run_id=job.run,
            call_id=call,
            seconds=seconds,
            path=job.key(ordinal).final(job.order.user_id),
            size=1,
            sha256="00" * 32,
        )
    )
    await job.settle(ordinal)


async def test_nothing_happened_yet(fixture: RecordsFixture) -> None:
    assert await fixture.records.statistics(today().date()) == Statistics()


async def test_each_provider_is_counted_by_itself(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (20,))
    for ordinal in range(10):
        await made(job, ordinal, "gemini", seconds=float(ordinal + 1))
    await made(job, 10, "runware", seconds=40.0, round_=1)
    await made(job, 11, "runware", seconds=20.0, round_=2)
    await job.tried(12, Outcome.MISSED)
    await job.tried(13, Outcome.REFUSED)
    await job.tried(14, Outcome.FAULT)
    await job.begin(15)
    found = await fixture.records.statistics(today().date())
    gemini, offline, runware = found.providers
    assert [day.provider for day in found.providers] == ["gemini", "offline", "runware"]
    assert (gemini.calls, gemini.generated, gemini.credits) == (10, 10, 10 * PRICE)
    assert (gemini.seconds_p50, gemini.seconds_p95) == (5.0, 10.0)
    assert (gemini.top_up_rounds, gemini.recovered_images) == (0, 0)
    assert (offline.calls, offline.missed, offline.refused, offline.faults, offline.unknown) == (4, 1, 1, 1, 1)
    assert (offline.seconds_p50, offline.generated, offline.credits) == (None, 0, 0)
    assert (runware.top_up_rounds, runware.recovered_images, runware.credits) == (2, 2, 2 * PRICE)
    assert (runware.seconds_p50, runware.seconds_p95) == (20.0, 40.0)


async def test_a_free_job_counts_and_costs_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(None, (1,))
    await made(job, 0, "gemini", seconds=1.0)
    [day] = (await fixture.records.statistics(today().date())).providers
    assert (day.generated, day.credits) == (1, 0)


async def test_days_are_told_apart_newest_first_and_older_ones_are_left_out(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    for ordinal in range(3):
        await made(job, ordinal, "gemini", seconds=1.0)
    await job.close()
    dump = await fixture.dump()
    for back, row in enumerate(dump["quel_generation_attempts"]):
        then = (today() - timedelta(days=back)).isoformat(timespec="microseconds")
        await fixture.tables.plant(
            "update quel_generation_attempts set started_at = :then where call_id = :call",
            then=then,
            call=row["call_id"],
        )
    found = await fixture.records.statistics((today() - timedelta(days=1)).date())
    assert [(day.day, day.calls, day.credits) for day in found.providers] == [
        ((today() - timedelta(days=back)).date(), 1, PRICE) for back in range(2)
    ]
    assert [(day.completed, day.failed, day.cancelled) for day in found.jobs] == [(1, 0, 0)]


async def test_ends_of_jobs_are_counted_by_day(fixture: RecordsFixture) -> None:
    for end in (End.CANCELLED, End.CANCELLED, End.FAILED):
        job = await fixture.opened(None, (1,))
        await job.close(end, error="the key is wrong" if end is End.FAILED else None)
    await fixture.opened(None, (1,))
    [day] = (await fixture.records.statistics(today().date())).jobs
    assert (day.completed, day.failed, day.cancelled) == (0, 1, 2)


async def test_the_receipt_tells_who_made_how_many_in_all_and_in_the_last_run(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (4,))
    await made(job, 0, "gemini", seconds=1.0)
    await job.tried(1, Outcome.MISSED)
    receipt = await job.close(End.CANCELLED)
    assert (
        receipt.total.made_by
        == receipt.last_run.made_by
        == (
            MadeBy(provider="gemini", calls=1, delivered=1),
            MadeBy(provider="offline", calls=1, delivered=0),
        )
    )
    await job.open(job.named(2), restart=True)
    await made(job, 2, "runware", seconds=1.0)
    receipt = await job.close()
    assert receipt.last_run.made_by == (MadeBy(provider="runware", calls=1, delivered=1),)
    assert [(one.provider, one.delivered) for one in receipt.total.made_by] == [
        ("gemini", 1),
        ("offline", 0),
        ("runware", 1),
    ]


async def test_a_picture_made_twice_is_the_last_ones(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1,))
    lost = uuid4()
    await job.begin(0, call=lost)
    await fixture.records.finish_attempt(lost, AttemptEnd(outcome=Outcome.GENERATED, seconds=1.0))
    await made(job, 0, "runware", seconds=1.0)
    receipt = await job.close()
    assert {one.provider: one.delivered for one in receipt.total.made_by} == {"offline": 0, "runware": 1}


async def test_open_holds_of_ended_jobs_are_released_and_others_kept(planted: RecordsFixture) -> None:
    fixture = planted
    user_id = await fixture.member(1_000)
    running, ended = await fixture.opened(user_id, (2,)), await fixture.opened(user_id, (3,))
    await ended.close(End.CANCELLED)
    await fixture.tables.plant(
        "update quel_credit_holds set released_at = null, amount = 60 where job_id = :job", job=str(ended.job_id)
    )
    assert (await fixture.account(user_id)).held == 100
    assert list(await fixture.records.release_ended_holds()) == [ended.job_id]
    assert list(await fixture.records.release_ended_holds()) == []
    assert (await fixture.account(user_id)).held == 2 * PRICE
    assert list(await fixture.records.audit()) == []
    assert (await running.close(End.CANCELLED)).total.released == 2 * PRICE


async def test_leftovers_of_a_failed_job_may_go_after_a_while(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await job.make(0)
    await job.close(End.FAILED, error="the key is wrong")
    may = fixture.records.may_remove_leftovers
    assert not await may(job.job_id, job.run)
    assert not await may(job.job_id, job.run, today() - timedelta(days=1))
    assert await may(job.job_id, job.run, today() + timedelta(seconds=1))
    await fixture.records.drop_undelivered(job.job_id, job.run, today() - timedelta(days=1))
    assert len((await fixture.dump())["quel_attach"]) == 1
    await fixture.records.drop_undelivered(job.job_id, job.run, today() + timedelta(seconds=1))
    assert len((await fixture.dump())["quel_attach"]) == 0
