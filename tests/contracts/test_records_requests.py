"""What clients ask of a job is numbered, and judged by what was asked before it (spec §2)."""

import asyncio

import pytest

from darkroom.domain.errors import JobNotFound
from darkroom.domain.jobs import End, Request
from tests.support.records.fixture import Job, RecordsFixture


async def _asked(job: Job, *requests: Request) -> list[bool]:
    return [(await job.records.take_request(job.job_id, request, None)).changed for request in requests]


async def test_of_ten_cancels_at_once_one_is_new(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    taken = await asyncio.gather(
        *(
            fixture.connections[n % len(fixture.connections)].take_request(job.job_id, Request.CANCEL, "enough")
            for n in range(10)
        )
    )
    assert sorted(one.number or 0 for one in taken) == list(range(1, 11))
    assert [one.number for one in taken if one.changed] == [1]


async def test_the_last_request_counts_before_any_is_carried_out(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    pause, resume = Request.PAUSE, Request.RESUME
    assert await _asked(job, resume, pause, pause, resume, resume, pause) == [False, True, False, True, False, True]
    assert await _asked(job, Request.CANCEL, pause, resume, Request.CANCEL) == [True, False, False, False]


async def test_a_request_that_is_carried_out_counts_as_the_row_says(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    assert await _asked(job, Request.PAUSE, Request.RESUME) == [True, True]
    assert await job.control(1, request=2) == 1
    assert await _asked(job, Request.RESUME) == [False]
    assert await job.control(2, request=3, quota_until="2030-01-01T00:00:00Z", reason="quota") == 2
    # A spent quota's pause is lifted by `resume`; the user's own holds longer than it.
    assert await _asked(job, Request.PAUSE, Request.RESUME) == [True, True]


async def test_a_request_that_could_not_be_sent_leaves_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    before = await fixture.dump()
    number = (await fixture.records.take_request(job.job_id, Request.PAUSE, None)).number
    assert number is not None
    await fixture.records.withdraw_request(job.job_id, number)
    assert await fixture.dump() == before
    assert await _asked(job, Request.PAUSE) == [True]
    await job.control(1, paused=True, request=1)
    before = await fixture.dump()
    await fixture.records.withdraw_request(job.job_id, 1)
    assert await fixture.dump() == before


async def test_an_ended_job_takes_no_request_and_a_restarted_one_forgets_the_old_ones(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    assert await _asked(job, Request.CANCEL) == [True]
    await job.close(End.CANCELLED)
    for request in Request:
        taken = await fixture.records.take_request(job.job_id, request, None)
        assert (taken.number, taken.changed) == (None, False)
    await job.open(job.named(2), restart=True)
    assert await _asked(job, Request.RESUME, Request.PAUSE) == [False, True]


async def test_a_run_is_told_which_requests_its_row_contains(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await _asked(job, Request.PAUSE, Request.RESUME, Request.PAUSE)
    await job.control(1, paused=True, request=2)
    assert (await job.open()).control.request == 2


async def test_a_request_for_a_job_that_is_not_there_is_refused(fixture: RecordsFixture) -> None:
    with pytest.raises(JobNotFound):
        await fixture.records.take_request((await fixture.member()), Request.PAUSE, None)
