"""Whether a job moves: which images are retried, since when and why, and which providers fail."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from darkroom.domain.images import Outcome
from darkroom.domain.jobs import Control
from darkroom.domain.movement import Movement, RecentCalls, Retried
from tests.support.records.fixture import Job, RecordsFixture

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def movement(fixture: RecordsFixture, job_id: UUID, since: datetime = LONG_AGO) -> Movement:
    found = await fixture.records.movement(job_id, since)
    assert found is not None
    return found


async def retried(fixture: RecordsFixture, job: Job) -> list[Retried]:
    return list((await movement(fixture, job.job_id)).retried)


async def recent(fixture: RecordsFixture, provider: str) -> RecentCalls:
    found = await fixture.records.recent_calls(datetime.now(UTC) - timedelta(minutes=5))
    return next(one for one in found if one.provider == provider)


async def test_a_job_that_is_not_there_does_not_move(fixture: RecordsFixture) -> None:
    assert await fixture.records.movement(uuid4(), LONG_AGO) is None


async def test_a_call_in_back_off_tells_its_newest_reason_its_attempt_and_since_when(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2, 2))
    began = datetime.now(UTC) - timedelta(seconds=1)
    await job.tried(0, Outcome.FAULT, reason="HTTP 500")
    await job.tried(0, Outcome.FAULT, attempt=2, reason="HTTP 503")
    await job.tried(1, Outcome.FAULT, 1, reason="HTTP 502", provider="gemini")
    await job.begin(1)
    first, second = await retried(fixture, job)
    assert (first.stage_index, first.ordinal, first.attempt, first.reason, first.faults) == (0, 0, 2, "HTTP 503", 2)
    assert (second.stage_index, second.ordinal, second.attempt, second.provider) == (1, 1, 1, "gemini")
    assert began < first.since < first.failed_at < datetime.now(UTC) + timedelta(seconds=5)


async def test_an_image_is_retried_until_its_call_ends_otherwise(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (5,))
    for ordinal in range(5):
        await job.tried(ordinal, Outcome.FAULT)
    next_call = uuid4()
    await job.begin(0, call=next_call, attempt=2)
    await job.make(1)
    await job.tried(2, Outcome.MISSED)
    await job.tried(3, Outcome.QUOTA_SPENT)
    assert [(one.ordinal, one.attempt) for one in await retried(fixture, job)] == [(0, 2), (4, 1)]
    await job.end(next_call, Outcome.REFUSED)
    await job.deliver([4])
    assert await retried(fixture, job) == []


@pytest.mark.parametrize("asked", ["paused", "cancel_requested", "failing"])
async def test_nothing_is_retried_once_nothing_new_begins(fixture: RecordsFixture, asked: str) -> None:
    job = await fixture.opened(await fixture.member(), (1,))
    await job.tried(0, Outcome.FAULT)
    wish = {"paused": False, "cancel_requested": False, "failing": False, asked: True}
    await fixture.records.set_control(job.job_id, job.run, Control.model_validate({"version": 1, **wish}))
    assert await retried(fixture, job) == []


async def test_faults_of_an_earlier_run_are_not_retried_by_the_next_one(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1,))
    await job.tried(0, Outcome.FAULT)
    await job.open(job.named(2))
    assert await retried(fixture, job) == []


async def test_three_faults_without_another_answer_are_a_failing_provider(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    for ordinal in (0, 1):
        await job.tried(ordinal, Outcome.FAULT, reason="HTTP 503", provider="gemini")
    assert (await movement(fixture, job.job_id)).failing() == ()
    assert not (await recent(fixture, "gemini")).failing
    await job.tried(0, Outcome.FAULT, attempt=2, reason="HTTP 500", provider="gemini")
    [failing] = (await movement(fixture, job.job_id)).failing()
    assert (failing.provider, failing.reason, failing.retrying) == ("gemini", "HTTP 500", 2)
    told = await recent(fixture, "gemini")
    assert (told.failing, told.faults, told.reason, told.since) == (True, 3, "HTTP 500", failing.since)
    await job.tried(5, Outcome.MISSED, provider="gemini")
    assert (await movement(fixture, job.job_id)).failing() == ()
    assert [one.faults for one in await retried(fixture, job)] == [0, 0]
    answered = await recent(fixture, "gemini")
    assert (answered.failing, answered.faults, answered.reason, answered.since) == (False, 0, None, None)


async def test_news_are_the_opening_what_is_asked_and_what_is_delivered_or_missed(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    opened = await movement(fixture, job.job_id)
    assert opened.opened_at is not None
    assert opened.news_at >= opened.opened_at
    await job.tried(0, Outcome.FAULT)
    assert (await movement(fixture, job.job_id)).news_at == opened.news_at
    await job.deliver([1])
    delivered = await movement(fixture, job.job_id)
    assert delivered.news_at > opened.news_at
    await job.tried(2, Outcome.MISSED)
    missed = await movement(fixture, job.job_id)
    assert missed.news_at > delivered.news_at


async def test_images_are_counted_from_a_moment_on(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    await job.deliver([0])
    [first] = (await fixture.records.delivered_images(job.job_id, 0, 9))[:1]
    await job.deliver([1, 2])
    for since, counted in ((LONG_AGO, 3), (first.delivered_at, 3), (first.delivered_at + timedelta(microseconds=1), 2)):
        assert (await movement(fixture, job.job_id, since)).delivered == counted
