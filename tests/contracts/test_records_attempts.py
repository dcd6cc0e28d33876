"""Whether a provider call may begin, and what the earlier ones left (spec §3)."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from darkroom.domain.attempts import Begin
from darkroom.domain.images import Outcome
from darkroom.domain.jobs import Control
from tests.support.records.fixture import RecordsFixture


async def test_the_first_call_for_a_key_begins_and_is_written_before_it(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    call = uuid4()
    assert (await job.begin(0, call=call, round_=2)).begin is Begin.BEGUN
    [row] = (await fixture.dump())["quel_generation_attempts"]
    assert (row["call_id"], row["outcome"], row["round"], row["provider"]) == (str(call), None, 2, "offline")


async def test_a_second_call_is_told_to_look_in_staging_first(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    first = uuid4()
    await job.begin(0, call=first)
    before = await fixture.dump()
    begun = await job.begin(0)
    assert (begun.begin, begun.call_id) == (Begin.LOOK, first)
    assert await fixture.dump() == before


async def test_when_nothing_was_staged_the_second_call_begins(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.begin(0)
    assert (await job.begin(0, looked=True)).begin is Begin.BEGUN
    assert len((await fixture.dump())["quel_generation_attempts"]) == 2


async def test_a_delivered_image_is_answered_with_its_attachment(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    [attach_id] = await job.deliver([0])
    await job.control(1, paused=True)
    begun = await job.begin(0)
    assert (begun.begin, begun.attach_id) == (Begin.DELIVERED, attach_id)


@pytest.mark.parametrize("final", [False, True])
async def test_a_refusal_is_answered_again_without_a_call(fixture: RecordsFixture, final: bool) -> None:
    job = await fixture.opened(await fixture.member())
    await job.tried(0, Outcome.REFUSED, final=final)
    begun = await job.begin(0, looked=True)
    assert (begun.begin, begun.outcome, begun.final) == (Begin.DECIDED, Outcome.REFUSED, final)
    assert begun.reason == "the provider said refused"


async def test_a_miss_is_answered_again_without_a_call(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.tried(0, Outcome.MISSED)
    begun = await job.begin(0)
    assert (begun.begin, begun.outcome, begun.reason) == (Begin.DECIDED, Outcome.MISSED, "the provider said missed")


@pytest.mark.parametrize("outcome", [Outcome.FAULT, Outcome.QUOTA_SPENT, Outcome.STOPPED])
async def test_what_decided_nothing_is_asked_again(fixture: RecordsFixture, outcome: Outcome) -> None:
    job = await fixture.opened(await fixture.member())
    await job.tried(0, outcome)
    assert (await job.begin(0)).begin in (Begin.BEGUN, Begin.LOOK)
    assert (await job.begin(0, looked=True)).begin is Begin.BEGUN
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 1)) == [0]


@pytest.mark.parametrize("asked", ["paused", "cancel_requested", "failing"])
async def test_nothing_begins_from_the_moment_the_flag_is_written(fixture: RecordsFixture, asked: str) -> None:
    job = await fixture.opened(await fixture.member())
    first = uuid4()
    await job.begin(0, call=first)
    await fixture.records.set_control(job.job_id, job.run, Control.model_validate({"version": 1, asked: True}))
    before = await fixture.dump()
    for looked in (False, True):
        assert (await job.begin(1, looked=looked)).begin is Begin.HELD
    assert await fixture.dump() == before


async def test_a_try_that_was_given_up_while_its_worker_stood_still_begins_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    long_ago, later = datetime.now(UTC) - timedelta(minutes=5), datetime.now(UTC) + timedelta(minutes=5)
    await job.begin(0, attempt=2)
    before = await fixture.dump()
    for looked in (False, True):
        held = await job.begin(0, attempt=1, taken_at=long_ago, looked=looked)
        assert (held.begin, held.final) == (Begin.HELD, False)
    assert await fixture.dump() == before
    # An ordinal that comes back after a pause begins at its first try again, and another ordinal is another matter.
    assert (await job.begin(0, attempt=1, taken_at=later)).begin is Begin.LOOK
    assert (await job.begin(0, attempt=3, taken_at=long_ago)).begin is Begin.LOOK
    assert (await job.begin(1, attempt=1, taken_at=long_ago)).begin is Begin.BEGUN


async def test_a_pause_is_not_the_end_of_the_run(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.control(1, paused=True)
    assert not (await job.begin(1)).final
    await job.control(2)
    assert (await job.begin(1)).begin is Begin.BEGUN


async def test_a_job_that_no_run_opened_begins_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    assert (await job.begin(0)).begin is Begin.HELD
    assert (await fixture.dump())["quel_generation_attempts"] == []


async def test_all_calls_that_may_have_left_a_picture_are_found_the_newest_of_an_ordinal_first(
    fixture: RecordsFixture,
) -> None:
    job = await fixture.opened(await fixture.member(), (6, 1))
    await job.deliver([0])
    await job.tried(1, Outcome.MISSED)
    calls = {2: uuid4(), 3: uuid4(), 4: uuid4()}
    first = uuid4()
    await job.begin(2, call=first)
    await job.begin(2, call=calls[2], looked=True)
    await job.begin(3, call=calls[3])
    await job.begin(4, call=calls[4])
    await job.attach(4, call=calls[4])
    await job.begin(0, 1)
    unsettled = fixture.records.unsettled_attempts
    assert list(await unsettled(job.job_id, 0, -1, 2)) == [(2, calls[2]), (2, first), (3, calls[3])]
    assert list(await unsettled(job.job_id, 0, 3, 2)) == [(4, calls[4])]
    assert list(await unsettled(job.job_id, 0, 4, 2)) == []


async def test_every_earlier_call_is_named_where_to_look(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    first, second = uuid4(), uuid4()
    await job.begin(0, call=first)
    await job.begin(0, call=second, looked=True)
    begun = await job.begin(0)
    assert (begun.begin, begun.call_id, begun.call_ids) == (Begin.LOOK, second, (second, first))


async def test_three_calls_without_an_outcome_are_a_miss_that_says_so_and_never_a_fourth_call(
    fixture: RecordsFixture,
) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    calls = [uuid4(), uuid4(), uuid4()]
    for call in calls:
        assert (await job.begin(0, call=call, looked=call is not calls[0])).begin is Begin.BEGUN
    assert (await job.begin(0)).begin is Begin.LOOK, "the third may have left a picture"
    for _ in range(2):
        begun = await job.begin(0, looked=True)
        assert (begun.begin, begun.outcome) == (Begin.DECIDED, Outcome.MISSED)
        assert "workers died" in (begun.reason or "")
    assert len((await fixture.dump())["quel_generation_attempts"]) == 3
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 2)) == [1, 2]
    waiting = await fixture.records.unsettled_attempts(job.job_id, 0, -1, 9)
    assert list(waiting) == [(0, calls[2]), (0, calls[1])], "their bytes may still come"
    assert (await fixture.records.stage_counts(job.job_id, 0)).missed == 1


async def test_a_fault_is_an_outcome_and_counts_for_no_dead_worker(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    for _ in range(4):
        await job.tried(0, Outcome.FAULT)
    assert (await job.begin(0, looked=True)).begin is Begin.BEGUN


async def test_no_call_begins_and_no_ordinal_is_given_for_a_stage_that_has_its_quantity(
    fixture: RecordsFixture,
) -> None:
    job = await fixture.opened(await fixture.member(), (3, 1))
    await job.deliver([0, 2])
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 3)) == [1]
    await job.deliver([1])
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 3)) == []
    before = await fixture.dump()
    assert (await job.begin(7)).begin is Begin.FULL
    assert await fixture.dump() == before
    assert (await job.begin(0, 1)).begin is Begin.BEGUN
