"""Groups that come twice, overlap or come at once: each image counts once, and the row is seldom refreshed."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from darkroom.domain.groups import AttachGroupInput, CreditGroupInput
from darkroom.domain.images import Settlement
from darkroom.domain.money import SettledImage
from tests.support.records.fixture import PRICE, Job, RecordsFixture
from tests.support.records.groups import attach_group, new_files, settle_group, to_settle

SETTLED, INSUFFICIENT = Settlement.SETTLED, Settlement.INSUFFICIENT


def settlements(results: Sequence[SettledImage]) -> list[Settlement]:
    return [result.settlement for result in results]


async def test_groups_that_come_twice_change_nothing_the_second_time(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    calls = [uuid4() for _ in range(4)]
    for ordinal, call in enumerate(calls):
        await job.begin(ordinal, call=call)
    attached = await attach_group(job, range(4), calls=calls)
    after_one = await fixture.dump()
    assert await attach_group(job, range(4), calls=calls) == attached
    assert await fixture.dump() == after_one
    await fixture.records.refresh(job.job_id)
    settled = await settle_group(job, range(4))
    after_one = await fixture.dump()
    again = await settle_group(job, range(4))
    assert await fixture.dump() == after_one
    assert [one.model_copy(update={"row_trails": False}) for one in settled] == again


async def test_an_image_that_is_twice_in_a_group_counts_once(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (3,))
    first, other, second = await attach_group(job, [1, 0, 1])
    assert first == second != other
    assert settlements(await settle_group(job, [1, 0, 1])) == [SETTLED] * 3
    assert (await fixture.account(user_id)).balance == 1_000 - 2 * PRICE


async def test_a_group_and_its_images_alone_may_come_in_any_mixture(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (5,))
    ids = await job.deliver([1, 3])
    attached = await attach_group(job, range(5))
    assert [attached[1].attach_id, attached[3].attach_id] == ids
    assert settlements(await settle_group(job, range(5))) == [SETTLED] * 5
    assert (await job.settle(4)).attach_id == attached[4].attach_id
    assert (await fixture.account(user_id)).balance == 1_000 - 5 * PRICE


async def test_groups_that_overlap_attach_and_charge_each_image_once(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(10_000)
    job = await fixture.opened(user_id, (40,))
    groups = [list(range(30)), list(range(39, 9, -1)), list(range(5, 35)), list(range(25))]
    jobs = [
        Job(fixture.connections[turn % len(fixture.connections)], job.order, job.job_id, job.run)
        for turn in range(len(groups))
    ]
    attached = await asyncio.gather(*(attach_group(one, group) for one, group in zip(jobs, groups, strict=True)))
    ids = {
        (ordinal, one.attach_id)
        for group, answers in zip(groups, attached, strict=True)
        for ordinal, one in zip(group, answers, strict=True)
    }
    assert len(ids) == 40
    settled = await asyncio.gather(*(settle_group(one, group) for one, group in zip(jobs, groups, strict=True)))
    assert {one.settlement for answers in settled for one in answers} == {SETTLED}
    assert {one.attach_id for answers in settled for one in answers} == {attach_id for _, attach_id in ids}
    assert (await fixture.account(user_id)).balance == 10_000 - 40 * PRICE
    assert len(await fixture.records.journal(user_id, 100)) == 40


async def test_groups_that_overlap_share_a_balance_that_does_not_cover_them(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(10_000)
    job = await fixture.opened(user_id, (40,))
    await attach_group(job, range(40))
    await fixture.spend(user_id, 10_000 - 13 * PRICE)
    connections = fixture.connections
    answers = await asyncio.gather(
        *(
            connections[turn % len(connections)].settle_group(to_settle(job, range(turn * 8, turn * 8 + 8)))
            for turn in range(5)
        )
    )
    for group in answers:
        paid = settlements(group).count(SETTLED)
        assert settlements(group) == [SETTLED] * paid + [INSUFFICIENT] * (8 - paid), "the first ones, in order"
    assert sum(settlements(group).count(SETTLED) for group in answers) == 13
    assert (await fixture.account(user_id)).balance == 0


@pytest.mark.own_tables
async def test_a_group_refreshes_the_row_once_and_only_when_that_is_due(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (9,))
    await attach_group(job, range(9))
    await fixture.tables.set_back_refresh(2)
    first = await settle_group(job, [2, 0, 1])
    row = await job.row()
    assert [one.row_trails for one in first] == [False] * 3
    assert row.generated_attach_ids == (first[1].attach_id, first[2].attach_id, first[0].attach_id)
    second = await settle_group(job, [0, 3, 4])
    assert [one.row_trails for one in second] == [False, True, True], "what was settled before is shown"
    assert await job.row() == row
    await fixture.tables.set_back_refresh(2)
    assert [one.row_trails for one in await settle_group(job, [0, 3])] == [False, False]
    assert await job.row() == row, "nothing new, nothing to refresh"
    third = await settle_group(job, [5])
    assert [one.row_trails for one in third] == [False]
    assert (await job.row()).completed_images == 6


async def test_a_group_is_made_of_what_comes_alone(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    group = new_files(job, [0, 1], calls=[None, uuid4()])
    assert AttachGroupInput.of(list(group.images())) == group
    assert list(CreditGroupInput.model_validate(to_settle(job, [1]).model_dump()).image_keys()) == [job.key(1)]
