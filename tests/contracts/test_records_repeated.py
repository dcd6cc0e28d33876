"""Every changing method, called twice with the same arguments, changes nothing the second time."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from darkroom.domain.images import Outcome
from darkroom.domain.jobs import End
from darkroom.domain.stored import NewReference
from tests.support.records.fixture import RecordsFixture

Call = Callable[[], Awaitable[object]]


async def twice(fixture: RecordsFixture, call: Call, *, same_answer: bool = True) -> None:
    first = await call()
    after_one = await fixture.dump()
    second = await call()
    assert await fixture.dump() == after_one
    if same_answer:
        assert second == first


@pytest.mark.own_tables
async def test_ensuring_a_member_twice_keeps_the_first_balance(fixture: RecordsFixture) -> None:
    user_id = uuid4()
    await twice(fixture, lambda: fixture.records.ensure_member(user_id, 500))
    await fixture.records.ensure_member(user_id, 900)
    assert (await fixture.account(user_id)).balance == 500


@pytest.mark.own_tables
async def test_a_grant_counts_once_per_key(fixture: RecordsFixture) -> None:
    user_id = uuid4()
    await twice(fixture, lambda: fixture.records.grant(user_id, 300, "grant-1"))
    assert (await fixture.account(user_id)).balance == 300
    assert (await fixture.records.grant(user_id, 300, "grant-2")).balance == 600


async def test_the_same_reference_is_one_attachment(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    reference = NewReference(
        user_id=user_id, original_name="a.png", path="uploads/a.png", size=9, media_type="image/png", sha256="ab" * 32
    )
    await twice(fixture, lambda: fixture.records.add_reference(reference))


async def test_a_job_is_created_once(fixture: RecordsFixture) -> None:
    job = fixture.job(await fixture.member())
    await twice(fixture, job.create, same_answer=False)
    assert not await job.create()


async def test_a_run_opens_once(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    await twice(fixture, job.open)


async def test_a_run_without_cover_opens_once(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member(10))
    await twice(fixture, job.open)
    await job.close(End.FAILED, error="no cover")


async def test_a_rejected_order_opens_once(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    await twice(fixture, lambda: job.open(rejection="prompt: is empty"))
    await job.close(End.FAILED, error="prompt: is empty")


async def test_a_control_is_written_once(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await twice(fixture, lambda: job.control(1, paused=True, reason="lunch"), same_answer=False)


async def test_a_pending_job_is_cancelled_once(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.pending(user_id, production_id=await fixture.production(user_id))
    await twice(fixture, lambda: fixture.records.cancel_pending(job.job_id, "not wanted"), same_answer=False)


async def test_an_attempt_begins_once_per_call(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    call = uuid4()
    await twice(fixture, lambda: job.begin(0, call=call), same_answer=False)
    await twice(fixture, lambda: job.begin(0, call=call, looked=True))


async def test_an_attempt_ends_once(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    call = uuid4()
    await job.begin(0, call=call)
    await twice(fixture, lambda: job.end(call, Outcome.MISSED, "no picture"))
    await job.end(call, Outcome.STOPPED, "too late")
    assert (await fixture.dump())["quel_generation_attempts"][0]["outcome"] == "missed"


async def test_an_image_is_attached_once(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    call = uuid4()
    await job.begin(0, call=call)
    await twice(fixture, lambda: job.attach(0, call=call))


@pytest.mark.parametrize("anonymous", [False, True])
async def test_a_settled_image_is_never_charged_twice(fixture: RecordsFixture, anonymous: bool) -> None:
    job = await fixture.opened(None if anonymous else await fixture.member())
    await job.make(0)
    await fixture.records.refresh(job.job_id)
    first = await job.settle(0)
    after_one = await fixture.dump()
    second = await job.settle(0)
    assert await fixture.dump() == after_one
    assert (first.settlement, first.attach_id) == (second.settlement, second.attach_id)


@pytest.mark.own_tables
async def test_a_row_is_refreshed_once(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.deliver([0, 1])
    await fixture.records.refresh(job.job_id)
    before = await job.row()
    await fixture.records.refresh(job.job_id)
    assert await job.row() == before


@pytest.mark.parametrize("end", list(End))
async def test_a_run_closes_once(fixture: RecordsFixture, end: End) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, production_id=await fixture.production(user_id, "[1, 2]", 2))
    await job.deliver([0])
    await job.make(1)
    await twice(fixture, lambda: job.close(end, error="bad key" if end is End.FAILED else None))


async def test_leftovers_are_dropped_once(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.make(1)
    await job.close(End.CANCELLED)
    await twice(fixture, lambda: fixture.records.drop_undelivered(job.job_id, job.run))
