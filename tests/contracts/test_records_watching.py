"""One look at a job: pictures in the order they came, what is under way, what it costs; all of one moment."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from darkroom.domain.attempts import AttemptEnd
from darkroom.domain.images import AttachInput, Outcome
from darkroom.domain.jobs import Control, End
from darkroom.domain.progress import JobStatus
from darkroom.domain.snapshots import MOST_FRAMES, DeliveryMark, FrameState, JobSnapshot, Picture
from tests.support.records.fixture import PRICE, Job, RecordsFixture


async def snapshot(
    fixture: RecordsFixture, job_id: UUID, after: DeliveryMark | None = None, limit: int = 500
) -> JobSnapshot:
    found = await fixture.records.snapshot(job_id, after, limit)
    assert found is not None
    return found


async def states(fixture: RecordsFixture, job: Job) -> dict[int, FrameState]:
    return {one.ordinal: one.state for one in (await snapshot(fixture, job.job_id)).undelivered}


def mark(picture: Picture) -> DeliveryMark:
    return DeliveryMark(delivered_at=picture.delivered_at, attach_id=picture.attach_id)


async def test_a_job_that_is_not_there_cannot_be_looked_at(fixture: RecordsFixture) -> None:
    assert await fixture.records.snapshot(uuid4(), None, 10) is None


async def test_a_pending_job_shows_that_nothing_happened_yet(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.pending(user_id, (2,))
    found = await snapshot(fixture, job.job_id)
    assert (found.user_id, found.progress.status, found.progress.stages) == (user_id, JobStatus.PENDING, ())
    assert (found.unit_price, found.spent, found.held) == (None, 0, 0)
    assert (found.pictures, found.undelivered, found.completed_at) == ((), (), None)
    assert found.created_at == (await job.row()).created_at


async def test_pictures_come_in_the_order_they_were_delivered_each_exactly_once(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3, 2))
    for ordinal, stage in ((0, 0), (0, 1), (1, 0), (2, 0)):
        await job.make(ordinal, stage)
    came = [(2, 0), (0, 1), (1, 0)]
    for ordinal, stage in came:
        await job.settle(ordinal, stage)
    seen: list[Picture] = []
    while page := (await snapshot(fixture, job.job_id, mark(seen[-1]) if seen else None, 2)).pictures:
        assert len(page) <= 2
        seen += page
        if len(seen) == len(came):
            # Made first of all, delivered last: it stands behind the mark all the same.
            await job.settle(0)
    assert [(one.ordinal, one.stage_index) for one in seen] == [*came, (0, 0)]
    assert {one.attach_id for one in seen} == {one.attach_id for one in (await snapshot(fixture, job.job_id)).pictures}
    delivered = await fixture.records.delivered_images(job.job_id, 0, 10)
    assert {(one.attach_id, one.path, one.size, one.sha256, one.delivered_at) for one in delivered} == {
        (one.attach_id, one.path, one.size, one.sha256, one.delivered_at) for one in seen
    }


async def test_a_clock_that_was_set_back_moves_no_picture_before_one_that_was_seen(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (4,))
    waiting = [await job.make(ordinal) for ordinal in (1, 2)]
    [first] = await job.deliver([0])
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="microseconds")
    await fixture.tables.plant(
        "update quel_attach set delivered_at = :later where attach_id = :id", later=later, id=first
    )
    seen = mark((await snapshot(fixture, job.job_id)).pictures[0])
    for ordinal in (1, 2):
        await job.settle(ordinal)
    assert [one.attach_id for one in (await snapshot(fixture, job.job_id, seen)).pictures] == waiting


async def test_a_picture_tells_which_call_made_it(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1,))
    lost, made, failed = uuid4(), uuid4(), uuid4()
    await job.begin(0, call=lost, provider="gemini", model="older", round_=0)
    await fixture.records.finish_attempt(lost, AttemptEnd(outcome=Outcome.GENERATED, seconds=9.0))
    await job.begin(0, call=made, provider="runware", model="newer", round_=2, looked=True)
    await job.begin(0, call=failed, provider="offline", round_=2, looked=True)
    await fixture.records.finish_attempt(failed, AttemptEnd(outcome=Outcome.FAULT, seconds=1.0))
    key = job.key(0)
    path = key.final(job.order.user_id)
    await fixture.records.attach(
        AttachInput(key=key, run_id=job.run, call_id=made, seconds=4.25, path=path, size=77, sha256="ab" * 32)
    )
    await job.settle(0)
    [picture] = (await snapshot(fixture, job.job_id)).pictures
    assert (picture.provider, picture.model, picture.seconds, picture.round) == ("runware", "newer", 4.25, 2)
    assert (picture.path, picture.size, picture.sha256) == (path, 77, "ab" * 32)
    await fixture.tables.plant("delete from quel_generation_attempts where job_id = :job", job=str(job.job_id))
    [picture] = (await snapshot(fixture, job.job_id)).pictures
    assert (picture.provider, picture.model, picture.seconds, picture.round) == (None, None, None, 0)


async def test_progress_is_what_the_records_say_without_ids(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2, 2))
    await job.deliver([0])
    await job.tried(0, Outcome.MISSED, 1)
    await job.begin(2, 1, round_=1)
    await job.control(1, paused=True, reason="lunch")
    progress = await fixture.records.progress(job.job_id)
    assert progress is not None
    assert progress.generated_attach_ids != ()
    bare = [stage.model_copy(update={"attach_ids": None}) for stage in progress.stages]
    expected = progress.model_copy(update={"generated_attach_ids": None, "stages": tuple(bare)})
    assert (await snapshot(fixture, job.job_id)).progress == expected
    assert [(stage.round, stage.in_flight, stage.missed) for stage in bare] == [(0, 0, 0), (1, 1, 1)]


async def test_credits_are_what_all_runs_charged_and_what_is_still_set_aside(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))

    async def money() -> tuple[int | None, int, int]:
        found = await snapshot(fixture, job.job_id)
        return found.unit_price, found.spent, found.held

    assert await money() == (PRICE, 0, 3 * PRICE)
    await job.deliver([0])
    assert await money() == (PRICE, PRICE, 2 * PRICE)
    await job.close(End.CANCELLED)
    assert await money() == (PRICE, PRICE, 0)
    await job.open(job.named(2), price=99, restart=True)
    await job.deliver([1])
    assert await money() == (PRICE, 2 * PRICE, PRICE)


async def test_a_job_without_a_user_costs_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(None, (2,))
    await job.deliver([0])
    found = await snapshot(fixture, job.job_id)
    assert (found.user_id, found.unit_price, found.spent, found.held) == (None, 0, 0, 0)


async def test_the_last_word_on_every_ordinal_that_is_not_delivered(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    await job.begin(0)
    await job.make(1)
    await job.tried(2, Outcome.MISSED)
    await job.tried(3, Outcome.FAULT)
    await job.tried(3, Outcome.REFUSED)
    await job.tried(4, Outcome.FAULT)
    await job.tried(5, Outcome.QUOTA_SPENT)
    await job.tried(6, Outcome.FAULT)
    await job.deliver([6])
    await job.tried(7, Outcome.FAULT)
    await job.tried(7, Outcome.STOPPED)
    making, missed, refused = FrameState.MAKING, FrameState.MISSED, FrameState.REFUSED
    assert await states(fixture, job) == {0: making, 1: making, 2: missed, 3: refused, 4: making}
    undelivered = (await snapshot(fixture, job.job_id)).undelivered
    assert [(one.stage_index, one.ordinal) for one in undelivered] == [(0, ordinal) for ordinal in range(5)]
    assert [one.reason for one in undelivered] == [
        None,
        None,
        "the provider said missed",
        "the provider said refused",
        None,
    ]
    await job.settle(1)
    await job.make(8)
    assert await states(fixture, job) == {0: making, 2: missed, 3: refused, 4: making, 8: making}
    await job.close(End.FAILED, error="the key is wrong")
    assert await states(fixture, job) == {2: missed, 3: refused}


@pytest.mark.parametrize("asked", ["paused", "cancel_requested", "failing"])
async def test_only_calls_under_way_are_being_made_once_nothing_new_begins(fixture: RecordsFixture, asked: str) -> None:
    job = await fixture.opened(await fixture.member(), (4,))
    await job.begin(0)
    await job.make(1)
    await job.tried(2, Outcome.FAULT)
    wish = {"paused": False, "cancel_requested": False, "failing": False, asked: True}
    await fixture.records.set_control(job.job_id, job.run, Control.model_validate({"version": 1, **wish}))
    assert await states(fixture, job) == {0: FrameState.MAKING, 1: FrameState.MAKING}


async def test_a_call_of_an_earlier_run_is_not_under_way_and_what_it_decided_stands(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (5,))
    await job.begin(0)
    await job.tried(1, Outcome.FAULT)
    await job.tried(2, Outcome.MISSED, round_=3)
    await job.make(3)
    await job.open(job.named(2))
    found = await snapshot(fixture, job.job_id)
    assert found.progress.stages[0].in_flight == 0
    assert [(one.ordinal, one.state, one.round) for one in found.undelivered] == [
        (2, FrameState.MISSED, 3),
        (3, FrameState.MAKING, 0),
    ]
    await job.begin(0, looked=True, round_=1)
    assert (await states(fixture, job))[0] is FrameState.MAKING


async def test_of_two_calls_for_one_ordinal_a_decision_stands_whichever_began_first(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    for ordinal in (0, 1, 2):
        calls = [uuid4(), uuid4()]
        for call in calls:
            await job.begin(ordinal, call=call, looked=True)
        if ordinal:
            await job.end(calls[0], Outcome.MISSED)
        if ordinal != 1:
            await job.end(calls[1], Outcome.REFUSED)
    assert await states(fixture, job) == {0: FrameState.REFUSED, 1: FrameState.MISSED, 2: FrameState.MISSED}


async def test_what_was_lost_is_told_with_its_time_in_the_order_it_was_lost(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    first, second = uuid4(), uuid4()
    before = datetime.now(UTC) - timedelta(seconds=1)
    await job.begin(1, call=first)
    await job.begin(0, call=second)
    await job.begin(2)
    for call, seconds in ((first, 10.0), (second, 20.0)):
        await fixture.records.finish_attempt(call, AttemptEnd(outcome=Outcome.MISSED, reason="no", seconds=seconds))
    lost_at = {one.ordinal: one.lost_at for one in (await snapshot(fixture, job.job_id)).undelivered}
    assert lost_at[2] is None
    assert lost_at[0] is not None
    assert lost_at[1] is not None
    assert before + timedelta(seconds=10) < lost_at[1] < lost_at[0] < datetime.now(UTC) + timedelta(seconds=21)


@pytest.mark.parametrize(("quantity", "shown"), [(MOST_FRAMES, 1), (MOST_FRAMES + 1, 0)])
async def test_large_stages_are_shown_without_what_is_not_delivered(
    fixture: RecordsFixture, quantity: int, shown: int
) -> None:
    job = await fixture.opened(await fixture.member(PRICE * 2_000), (quantity, 1))
    for stage in (0, 1):
        await job.tried(0, Outcome.MISSED, stage)
    undelivered = (await snapshot(fixture, job.job_id)).undelivered
    assert [one.stage_index for one in undelivered] == [0, 1][1 - shown :]


async def test_a_look_is_of_one_moment_whatever_is_settled_meanwhile(fixture: RecordsFixture) -> None:
    images = 40
    job = await fixture.opened(await fixture.member(PRICE * images), (images,))
    for ordinal in range(images):
        await job.make(ordinal)
    settling = asyncio.gather(
        *(
            fixture.connections[ordinal % len(fixture.connections)].settle(job.key(ordinal), job.run)
            for ordinal in range(images)
        )
    )
    looks: list[JobSnapshot] = []
    while not settling.done():
        looks.append(await snapshot(fixture, job.job_id))
    await settling
    looks.append(await snapshot(fixture, job.job_id))
    for found in looks:
        delivered = len(found.pictures)
        assert found.progress.stages[0].completed == delivered
        assert (found.spent, found.held) == (delivered * PRICE, (images - delivered) * PRICE)
        assert len(found.undelivered) == images - delivered
    assert len(looks[-1].pictures) == images
    await job.close()
