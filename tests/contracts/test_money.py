"""Holds and settlements (spec §4): charged exactly for what was delivered."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest

from darkroom.domain.images import Outcome, Settlement
from darkroom.domain.jobs import End
from darkroom.domain.progress import JobStatus
from tests.support.records.fixture import RecordsFixture


async def test_opening_sets_the_hold_and_never_adds_to_it(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(100)
    job = await fixture.opened(user_id, (3,))
    assert (await fixture.account(user_id)).held == 60
    await job.open()
    assert (await fixture.account(user_id)).held == 60
    await job.deliver([0])
    assert (await fixture.account(user_id)).held == 40
    await job.open(job.named(2))
    account = await fixture.account(user_id)
    assert (account.balance, account.held, account.available) == (80, 40, 40)


async def test_what_other_jobs_hold_is_not_available(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(100)
    await fixture.opened(user_id, (3,))
    job = await fixture.pending(user_id, (3,))
    opened = await job.open()
    assert opened.failure == "insufficient credits: need 60, available 40"
    assert (await fixture.account(user_id)).held == 60


async def test_a_job_without_cover_fails_at_once_and_is_charged_nothing(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(59)
    job = await fixture.pending(user_id, (3,))
    opened = await job.open()
    assert opened.failure == "insufficient credits: need 60, available 59"
    await job.attach(0)
    assert (await job.settle(0)).settlement is Settlement.INSUFFICIENT
    await job.close(End.FAILED, error=opened.failure)
    row = await job.row()
    assert (row.status, row.error_message) == (JobStatus.FAILED, "insufficient credits: need 60, available 59")
    assert (await fixture.account(user_id)).held == 0


async def test_exact_cover_is_enough(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(60)
    job = await fixture.opened(user_id, (3,))
    await job.deliver([0, 1, 2])
    await job.close()
    account = await fixture.account(user_id)
    assert (account.balance, account.held) == (0, 0)


@pytest.mark.own_tables
async def test_a_member_that_does_not_exist_has_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.pending(uuid4(), (1,))
    assert (await job.open()).failure is not None
    await job.close(End.FAILED, error="no member")


async def test_a_restart_holds_only_what_is_missing_and_can_lack_cover(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(60)
    job = await fixture.opened(user_id, (3,))
    await job.deliver([0])
    await job.close(End.CANCELLED)
    await fixture.spend(user_id, 30)
    opened = await job.open(job.named(2), restart=True)
    assert opened.failure == "insufficient credits: need 40, available 10"
    await job.close(End.FAILED, error=opened.failure)
    row = await job.row()
    assert (row.status, row.completed_images, row.failed_images) == (JobStatus.FAILED, 1, 2)
    await fixture.records.grant(user_id, 30, "enough")
    assert (await job.open(job.named(3), restart=True)).failure is None
    assert (await fixture.account(user_id)).held == 40


async def test_max_credits_are_allotted_to_the_stages_in_order(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.pending(user_id, (3, 3, 3), max_credits=90)
    opened = await job.open()
    assert [(plan.quantity, plan.target) for plan in opened.stages] == [(3, 3), (3, 1), (3, 0)]
    held = (await fixture.account(user_id)).held
    assert 80 <= held <= 90


async def test_max_credits_hold_across_a_restart_less_what_was_charged(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (3, 3), max_credits=80)
    await job.deliver([0, 1])
    await job.close(End.CANCELLED)
    opened = await job.open(job.named(2), restart=True)
    assert [plan.target for plan in opened.stages] == [3, 1]
    assert (await fixture.account(user_id)).held == 40
    await job.deliver([2])
    await job.deliver([0], 1)
    await job.make(1, 1)
    assert (await job.settle(1, 1)).settlement is not Settlement.SETTLED
    assert (await job.close()).total.charged == 80


async def test_a_part_of_max_credits_is_never_passed_on(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (2, 2), max_credits=40)
    await job.make(0, 1)
    assert (await job.settle(0, 1)).settlement is Settlement.STAGE_FULL
    await job.deliver([0, 1])
    assert (await fixture.records.stage_counts(job.job_id, 0)).delivered == 2


async def test_a_settlement_charges_lowers_the_hold_and_delivers(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(100)
    job = await fixture.opened(user_id, (2,))
    attach_id = await job.make(0)
    settled = await job.settle(0)
    assert (settled.settlement, settled.attach_id) == (Settlement.SETTLED, attach_id)
    account = await fixture.account(user_id)
    assert (account.balance, account.held) == (80, 20)
    assert [image.attach_id for image in await fixture.records.delivered_images(job.job_id, 0, 5)] == [attach_id]


async def test_100_settlements_of_one_image_at_once_are_one_charge(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (3,))
    await job.make(0)
    connections = fixture.connections
    answers = await asyncio.gather(
        *(connections[turn % len(connections)].settle(job.key(0), job.run) for turn in range(100))
    )
    assert {(answer.settlement, answer.attach_id) for answer in answers} == {(Settlement.SETTLED, answers[0].attach_id)}
    assert (await fixture.account(user_id)).balance == 980
    assert len(await fixture.records.journal(user_id, 200)) == 1


async def test_100_settlements_at_once_with_credit_for_29_charge_29(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(2_000)
    job = await fixture.opened(user_id, (100,))
    for ordinal in range(100):
        await job.attach(ordinal)
    await fixture.spend(user_id, 2_000 - 29 * 20)
    connections = fixture.connections
    answers = await asyncio.gather(
        *(connections[ordinal % len(connections)].settle(job.key(ordinal), job.run) for ordinal in range(100))
    )
    counts = Counter(answer.settlement for answer in answers)
    assert counts == {Settlement.SETTLED: 29, Settlement.INSUFFICIENT: 71}
    refusals = [answer.reason or "" for answer in answers if answer.settlement is Settlement.INSUFFICIENT]
    assert all(reason.startswith("insufficient credits: need 20, ") for reason in refusals)
    assert (await fixture.account(user_id)).balance == 0
    receipt = await job.close(End.FAILED, error=refusals[0])
    assert (receipt.delivered, receipt.total.charged, receipt.status) == (29, 580, JobStatus.FAILED)
    # What could not be paid stays for a restart.
    assert len((await fixture.dump())["quel_attach"]) == 100
    await fixture.records.grant(user_id, 71 * 20, "paid")
    assert (await job.open(job.named(2), restart=True)).failure is None
    await asyncio.gather(*(job.settle(ordinal) for ordinal in range(100)))
    assert (await job.close()).delivered == 100
    assert (await fixture.account(user_id)).balance == 0


async def test_jobs_opened_at_once_never_hold_more_than_there_is(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(100)
    jobs = [await fixture.pending(user_id, (2,)) for _ in range(6)]
    for position, job in enumerate(jobs):
        job.records = fixture.connections[position % len(fixture.connections)]
    opened = await asyncio.gather(*(job.open() for job in jobs))
    assert [answer.failure for answer in opened].count(None) == 2
    assert (await fixture.account(user_id)).held == 80


async def test_a_full_stage_takes_no_image_that_comes_late(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (2, 2))
    await job.deliver([0, 1])
    await job.make(2)
    before = await fixture.dump()
    settled = await job.settle(2)
    assert (settled.settlement, bool(settled.reason)) == (Settlement.STAGE_FULL, True)
    assert await fixture.dump() == before
    assert (await job.settle(0)).settlement is Settlement.SETTLED


async def test_a_run_that_is_not_the_jobs_own_settles_nothing(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (2,))
    await job.make(0)
    before = await fixture.dump()
    assert (await job.settle(0, run="another")).settlement is Settlement.RUN_REFUSED
    assert await fixture.dump() == before


async def test_the_open_run_of_another_job_settles_nothing(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job, other = await fixture.opened(user_id, (2,)), await fixture.opened(user_id, (2,))
    await job.make(0)
    before = await fixture.dump()
    assert (await job.settle(0, run=other.run)).settlement is Settlement.RUN_REFUSED
    assert await fixture.dump() == before


async def test_what_is_settled_is_answered_to_a_late_run_too(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(1_000), (2,))
    [attach_id] = await job.deliver([0])
    await job.close(End.CANCELLED)
    settled = await job.settle(0)
    assert (settled.settlement, settled.attach_id) == (Settlement.SETTLED, attach_id)


@pytest.mark.parametrize("end", list(End))
async def test_what_is_left_of_the_hold_goes_back_however_the_job_ends(fixture: RecordsFixture, end: End) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (5,))
    await job.deliver([0, 1])
    receipt = await job.close(end, error="bad key" if end is End.FAILED else None)
    account = await fixture.account(user_id)
    assert (account.balance, account.held) == (960, 0)
    assert (receipt.total.charged, receipt.total.released) == (40, 60)


async def test_a_delivered_image_is_not_refunded_by_a_cancel(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (2,))
    await job.deliver([0])
    await job.tried(1, Outcome.MISSED)
    await job.control(1, cancel_requested=True)
    await job.close(End.CANCELLED)
    assert [row.amount for row in await fixture.records.journal(user_id, 10)] == [-20]


async def test_the_price_0_delivers_without_cover(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(0)
    job = await fixture.pending(user_id, (1,))
    assert (await job.open(price=0)).failure is None
    await job.deliver([0])
    assert (await job.close()).status is JobStatus.COMPLETED
