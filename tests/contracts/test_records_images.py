"""Attempts, ordinals and attachments of images."""

from operator import itemgetter
from uuid import uuid4

import pytest

from darkroom.domain.attempts import Begin
from darkroom.domain.formats import SUFFIXES
from darkroom.domain.images import Outcome
from darkroom.domain.jobs import Control, End
from darkroom.domain.rounds import PAGE
from tests.support.records.fixture import RecordsFixture


@pytest.mark.parametrize("asked", ["paused", "cancel_requested", "failing"])
async def test_calls_under_way_are_attached_and_charged_whatever_was_asked(fixture: RecordsFixture, asked: str) -> None:
    user_id = await fixture.member(100)
    job = await fixture.opened(user_id)
    call = uuid4()
    await job.begin(0, call=call)
    await fixture.records.set_control(job.job_id, job.run, Control.model_validate({"version": 1, asked: True}))
    attached = await job.attach(0, call=call)
    assert attached.attach_id is not None
    await job.settle(0)
    assert (await fixture.account(user_id)).balance == 80


async def test_attaching_writes_that_the_call_generated(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.make(0)
    [row] = (await fixture.dump())["quel_generation_attempts"]
    assert row["outcome"] == "generated"
    [row] = (await fixture.dump())["quel_attach"]
    assert (row["stage_index"], row["ordinal"], row["delivered_at"]) == (0, 0, None)
    assert row["attach_file_path"] == job.key(0).final(job.order.user_id)
    assert (row["attach_file_name"], row["attach_file_type"]) == ("0-0.webp", "image/webp")


async def test_an_attachment_has_the_media_type_of_its_file(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (len(SUFFIXES),))
    for ordinal, suffix in enumerate(SUFFIXES.values()):
        for name in (".webp", f".original{suffix}"):  # a second call brought it in another format
            await job.attach(ordinal, path=job.key(ordinal).final(job.order.user_id, uuid4(), name))
    rows = (await fixture.dump())["quel_attach"]
    assert [row["attach_file_type"] for row in sorted(rows, key=itemgetter("ordinal"))] == list(SUFFIXES)


async def test_a_stage_keeps_its_format(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1, 1), looks=({"format": "avif"},))
    assert [(await fixture.records.stage(job.job_id, n)).format for n in range(2)] == ["avif", None]
    assert [stage.format for stage in await fixture.records.stages(job.job_id)] == ["avif", None]


async def test_round_0_makes_the_first_ordinals(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(100_000), (700,))
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 3)) == [0, 1, 2]
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 700)) == list(range(PAGE))
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 0)) == []


async def test_a_round_takes_what_is_undecided_and_then_new_ordinals(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (6,))
    await job.deliver([0])
    await job.tried(1, Outcome.MISSED)
    await job.tried(2, Outcome.REFUSED)
    await job.begin(5)  # lost with its worker; 3 and 4 were never attempted
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 5)) == [3, 4, 5, 6, 7]


async def test_a_picture_attached_and_not_settled_is_taken_again(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await job.make(0)
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 2)) == [0, 1]


async def test_a_miss_after_a_lost_call_decides_the_ordinal(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await job.begin(0)
    call = uuid4()
    await job.begin(0, call=call, looked=True)
    await job.end(call, Outcome.MISSED, "text only")
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 2)) == [1, 2]


async def test_ordinals_of_one_stage_do_not_depend_on_another(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2, 2))
    await job.deliver([0, 1])
    assert list(await fixture.records.next_ordinals(job.job_id, 1, 2)) == [0, 1]


async def test_counts_of_a_stage_are_its_last_words(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (4, 1))
    await job.deliver([0])
    await job.make(1)
    await job.tried(2, Outcome.MISSED)
    await job.tried(3, Outcome.REFUSED)
    await job.tried(4, Outcome.FAULT)
    counts = await fixture.records.stage_counts(job.job_id, 0)
    assert (counts.delivered, counts.missed, counts.refused) == (1, 1, 1)
    assert (await fixture.records.stage_counts(job.job_id, 1)).delivered == 0


async def test_a_picture_that_came_after_a_miss_is_no_miss_any_more(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    lost, missed = uuid4(), uuid4()
    await job.begin(0, call=lost)
    await job.begin(0, call=missed, looked=True)
    await job.end(missed, Outcome.MISSED, "text only")
    await job.attach(0, call=lost)
    await job.settle(0)
    counts = await fixture.records.stage_counts(job.job_id, 0)
    assert (counts.delivered, counts.missed) == (1, 0)


async def test_an_attachment_is_the_file_of_the_last_call_until_it_is_delivered(fixture: RecordsFixture) -> None:
    """A worker that comes back late attaches another call's file: that counts before the settlement, not after it."""
    job = await fixture.opened(await fixture.member(), (2,))
    first, second = uuid4(), uuid4()
    old, path = (job.key(0).final(job.order.user_id, call) for call in (first, second))
    await job.begin(0, call=first)
    await job.attach(0, call=first, path=old)
    await job.begin(0, call=second, looked=True)
    await job.attach(0, call=second, path=path)
    [row] = [row for row in (await fixture.dump())["quel_attach"] if row["job_id"]]
    assert (row["attach_file_path"], row["attach_file_name"]) == (path, path.rpartition("/")[2])
    settled = await job.settle(0)
    assert set(settled.call_ids) == {first, second}
    assert set((await job.settle(0)).call_ids) == {first, second}
    late = await job.attach(0, call=first, path=old)
    assert late.attach_id == settled.attach_id
    [delivered] = await fixture.records.delivered_images(job.job_id, 0, 10)
    assert delivered.path == path


async def test_delivered_pairs_are_paged_by_ordinal(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (4,))
    late = await job.deliver([3])
    ids = await job.deliver([0, 1])
    await job.make(2)
    assert list(await fixture.records.delivered_pairs(job.job_id, 0, -1, 2)) == [(0, ids[0]), (1, ids[1])]
    assert list(await fixture.records.delivered_pairs(job.job_id, 0, 1, 2)) == [(3, late[0])]
    assert list(await fixture.records.delivered_pairs(job.job_id, 0, 3, 2)) == []


async def test_leftovers_of_a_running_job_are_not_dropped(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.make(0)
    before = await fixture.dump()
    await fixture.records.drop_undelivered(job.job_id, job.run)
    assert await fixture.dump() == before


async def test_a_cancelled_job_keeps_no_attachment_that_was_not_delivered(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    [kept] = await job.deliver([0])
    await job.make(1)
    await job.close(End.CANCELLED)
    await fixture.records.drop_undelivered(job.job_id, job.run)
    assert [row["attach_id"] for row in (await fixture.dump())["quel_attach"]] == [kept]


async def test_a_dropped_picture_is_made_anew_by_a_restart(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1,))
    await job.make(0)
    await job.close(End.CANCELLED)
    await fixture.records.drop_undelivered(job.job_id, job.run)
    await job.open(job.named(2), restart=True)
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 1)) == [0]
    assert (await job.begin(0, looked=True)).begin is Begin.BEGUN
