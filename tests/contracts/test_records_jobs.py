"""A job's row, its runs, and what is asked of it."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from darkroom.domain.attempts import Begin
from darkroom.domain.errors import JobNotFound, RunRefused
from darkroom.domain.images import Outcome, Settlement
from darkroom.domain.jobs import End
from darkroom.domain.progress import JobStatus
from tests.support.records.fixture import RecordsFixture


async def test_a_new_job_is_pending_as_it_was_given(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.pending(user_id, (2, 3))
    row = await job.row()
    assert (row.status, row.total_images, row.completed_images) == (JobStatus.PENDING, 5, 0)
    assert (row.user_id, row.job_type, row.generated_attach_ids) == (user_id, "pipeline_stage", ())
    assert row.started_at is None
    source = await fixture.records.order_source(job.job_id)
    assert (source.document, source.opened) == ({"prompt": "as it came"}, False)


async def test_a_job_that_is_not_there_is_said_to_be_missing(fixture: RecordsFixture) -> None:
    assert await fixture.records.job(uuid4()) is None
    assert await fixture.records.receipt(uuid4()) is None
    assert await fixture.records.progress(uuid4()) is None
    with pytest.raises(JobNotFound):
        await fixture.records.order_source(uuid4())
    with pytest.raises(JobNotFound):
        await fixture.records.stage(uuid4(), 0)


async def test_jobs_are_listed_newest_first_and_unfinished_ones_oldest_first(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    jobs = [await fixture.pending(user_id, (1,)) for _ in range(3)]
    ids = [job.job_id for job in jobs]
    assert [row.job_id for row in await fixture.records.jobs(None, 2)] == [ids[2], ids[1]]
    await fixture.records.cancel_pending(ids[1], None)
    await jobs[2].open()
    assert [row.job_id for row in await fixture.records.unfinished_jobs()] == [ids[0], ids[2]]
    assert [row.job_id for row in await fixture.records.jobs(JobStatus.CANCELLED, 10)] == [ids[1]]


async def test_opening_stores_the_stages_and_reads_the_document_no_more(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member(), (2, 3))
    opened = await job.open()
    assert [(plan.stage_index, plan.quantity, plan.target) for plan in opened.stages] == [(0, 2, 2), (1, 3, 3)]
    assert (opened.total_images, opened.providers, opened.max_top_ups) == (5, ("offline",), 5)
    assert opened.user_id == job.order.user_id
    assert await fixture.records.stage(job.job_id, 1) == job.order.stages[1]
    assert (await fixture.records.order_source(job.job_id)).opened
    row = await job.row()
    assert (row.status, row.unit_price) == (JobStatus.PROCESSING, 20)
    assert row.started_at is not None
    assert row.completed_at is None


async def test_a_rejected_order_fails_with_its_reason(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    opened = await job.open(rejection="stages[0].prompt: is empty")
    assert opened.failure == "stages[0].prompt: is empty"
    receipt = await job.close(End.FAILED, error=opened.failure)
    assert receipt.status is JobStatus.FAILED
    row = await job.row()
    assert (row.status, row.error_message) == (JobStatus.FAILED, "stages[0].prompt: is empty")


async def test_a_pending_job_is_cancelled_in_one_transaction(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.pending(user_id, production_id=await fixture.production(user_id))
    assert await fixture.records.cancel_pending(job.job_id, "not wanted")
    row = await job.row()
    assert (row.status, row.failed_images) == (JobStatus.CANCELLED, 0)
    assert row.completed_at is not None
    [production] = (await fixture.dump())["quel_production_photo"]
    assert production["production_status"] == await fixture.said_of_production("cancelled")
    assert not await fixture.records.cancel_pending(job.job_id, None)


async def test_only_restart_opens_a_job_that_was_cancelled_while_pending(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    await fixture.records.cancel_pending(job.job_id, None)
    assert (await job.open()).superseded is not None
    assert (await job.row()).status is JobStatus.CANCELLED
    opened = await job.open(job.named(2), restart=True)
    assert opened.superseded is None
    assert (await job.row()).status is JobStatus.PROCESSING


async def test_a_job_under_a_run_is_not_cancelled_as_a_pending_one(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    before = await fixture.dump()
    assert not await fixture.records.cancel_pending(job.job_id, "late")
    assert await fixture.dump() == before


async def test_an_older_control_never_replaces_a_newer_one(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    assert await job.control(2, paused=True, reason="lunch") == 2
    before = await fixture.dump()
    assert await job.control(1, paused=False) == 2
    assert await fixture.dump() == before
    row = await job.row()
    assert (row.paused, row.pause_reason, row.status) == (True, "lunch", JobStatus.PROCESSING)
    assert await job.control(3) == 3
    row = await job.row()
    assert (row.paused, row.pause_reason) == (False, None)


async def test_a_control_of_another_or_a_closed_run_changes_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    before = await fixture.dump()
    assert await job.control(9, run=job.named(2), cancel_requested=True) is None
    assert await fixture.dump() == before
    await job.close(End.CANCELLED)
    before = await fixture.dump()
    assert await job.control(9, paused=True) is None
    assert await fixture.dump() == before


async def test_a_spent_quota_pauses_and_shows_its_reason(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.control(1, quota_until=datetime(2026, 11, 2, 8, tzinfo=UTC), reason="daily quota of gemini spent")
    row = await job.row()
    assert (row.paused, row.pause_reason) == (True, "daily quota of gemini spent")
    assert (await job.begin(0)).begin is Begin.HELD


async def test_a_cancel_that_was_asked_is_on_the_row_while_it_is_processing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.control(1, cancel_requested=True, reason="too slow")
    row = await job.row()
    assert (row.cancel_requested, row.status) == (True, JobStatus.PROCESSING)
    assert (await job.begin(0)).begin is Begin.HELD


async def test_a_new_run_takes_over_and_the_old_one_can_do_nothing_more(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id)
    await job.make(0)
    old = job.run
    opened = await job.open(job.named(2))
    assert opened.superseded is None
    before = await fixture.dump()
    begun = await job.begin(1, run=old)
    assert (begun.begin, begun.final) == (Begin.HELD, True)
    assert (await job.settle(0, run=old)).settlement is Settlement.RUN_REFUSED
    assert (await job.attach(2, run=old)).attach_id is None
    with pytest.raises(RunRefused):
        await job.close(run=old)
    assert (await job.open(old)).superseded is not None
    assert await fixture.dump() == before
    job.run = job.named(2)
    assert (await job.settle(0)).settlement is Settlement.SETTLED


async def test_an_older_run_never_takes_over_from_a_newer_one(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    await job.open(job.named(2))
    before = await fixture.dump()
    assert (await job.open(job.named(1), restart=True)).superseded is not None
    assert await fixture.dump() == before


async def test_a_closed_run_stays_closed(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.make(0)
    await job.close(End.FAILED, error="bad key")
    before = await fixture.dump()
    assert (await job.open()).superseded is not None
    assert (await job.open(restart=True)).superseded is not None
    begun = await job.begin(1)
    assert (begun.begin, begun.final) == (Begin.HELD, True)
    assert (await job.settle(0)).settlement is Settlement.RUN_REFUSED
    assert await fixture.dump() == before


async def test_an_ended_job_opens_only_for_a_restart(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.close(End.CANCELLED)
    before = await fixture.dump()
    assert (await job.open(job.named(2))).superseded is not None
    assert await fixture.dump() == before


async def test_a_job_that_delivered_everything_is_not_restarted(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1,))
    await job.deliver([0])
    await job.close()
    assert (await job.open(job.named(2), restart=True)).superseded is not None
    assert (await job.row()).status is JobStatus.COMPLETED


@pytest.mark.parametrize("end", list(End))
async def test_a_restart_delivers_only_what_is_missing_at_the_first_price(fixture: RecordsFixture, end: End) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (3,))
    ids = await job.deliver([0])
    await job.tried(1, Outcome.MISSED)
    await job.control(1, cancel_requested=end is End.CANCELLED, failing=end is End.FAILED)
    await job.close(end, error="bad key" if end is End.FAILED else None)
    opened = await job.open(job.named(2), price=99, restart=True)
    assert opened.superseded is None
    assert opened.stages[0].counts.delivered == 1
    assert not opened.control.holds
    account = await fixture.account(user_id)
    assert (account.balance, account.held) == (980, 40)
    row = await job.row()
    assert (row.status, row.error_message, row.failed_images) == (JobStatus.PROCESSING, None, 0)
    assert (row.cancel_requested, row.paused, row.completed_at, row.unit_price) == (False, False, None, 20)
    assert row.generated_attach_ids == tuple(ids)
    assert list(await fixture.records.next_ordinals(job.job_id, 0, 2)) == [2, 3]
    await job.deliver([2, 3])
    receipt = await job.close()
    assert receipt.status is JobStatus.COMPLETED
    assert (await fixture.account(user_id)).balance == 940


async def test_a_picture_kept_by_a_failed_job_is_settled_by_its_restart(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    attach_id = await job.make(0)
    await job.close(End.FAILED, error="billing is off")
    await job.open(job.named(2), restart=True)
    assert 0 in await fixture.records.next_ordinals(job.job_id, 0, 2)
    assert (await job.begin(0)).begin is Begin.LOOK
    assert (await job.attach(0)).attach_id == attach_id
    settled = await job.settle(0)
    assert (settled.settlement, settled.attach_id) == (Settlement.SETTLED, attach_id)


async def test_controls_of_a_new_run_start_anew(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.control(7, cancel_requested=True)
    await job.close(End.CANCELLED)
    await job.open(job.named(2), restart=True)
    assert await job.control(1, paused=True) == 1
    assert (await job.row()).paused


async def test_a_run_that_takes_over_a_paused_job_finds_it_paused(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.control(1, paused=True, reason="lunch")
    opened = await job.open(job.named(2))
    assert opened.superseded is None
    assert opened.control.paused == (await job.row()).paused
