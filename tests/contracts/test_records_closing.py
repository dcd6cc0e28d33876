"""How a job ends: its row, its production, its hold and its receipt (spec §2, §4)."""

from uuid import uuid4

import pytest

from darkroom.domain.errors import RunRefused
from darkroom.domain.images import Outcome
from darkroom.domain.jobs import End
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import StageEnd, nothing_delivered, shorten
from darkroom.domain.rounds import StageStatus
from tests.support.records.fixture import RecordsFixture


@pytest.mark.parametrize(
    ("end", "delivered", "status", "failed"),
    [
        (End.DELIVERED, 3, JobStatus.COMPLETED, 0),
        (End.DELIVERED, 2, JobStatus.COMPLETED, 1),
        (End.DELIVERED, 0, JobStatus.FAILED, 3),
        (End.CANCELLED, 2, JobStatus.CANCELLED, 0),
        (End.CANCELLED, 0, JobStatus.CANCELLED, 0),
        (End.FAILED, 2, JobStatus.FAILED, 1),
        (End.FAILED, 0, JobStatus.FAILED, 3),
    ],
)
async def test_each_end_has_its_status_on_the_job_and_on_the_production(
    fixture: RecordsFixture, end: End, delivered: int, status: JobStatus, failed: int
) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (3,), production_id=await fixture.production(user_id, "[5, 6]", 2))
    ids = await job.deliver(range(delivered))
    receipt = await job.close(end, error="GEMINI_API_KEY is wrong" if end is End.FAILED else None)
    row = await job.row()
    assert (row.status, row.completed_images, row.failed_images) == (status, delivered, failed)
    assert row.completed_at is not None
    assert row.started_at is not None
    assert (row.error_message is not None) == (status is JobStatus.FAILED)
    assert receipt.status is status
    assert receipt.error_message == row.error_message
    [production] = (await fixture.dump())["quel_production_photo"]
    assert production["production_status"] == await fixture.said_of_production(status)
    assert production["attach_ids"] == [5, 6, *ids]
    assert production["generated_image_count"] == 2 + delivered
    account = await fixture.account(user_id)
    assert (account.balance, account.held) == (1_000 - 20 * delivered, 0)


async def test_a_restart_appends_only_its_own_images_to_the_production(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (3,), production_id=await fixture.production(user_id, "[5]", 1))
    first = await job.deliver([1])
    await job.close(End.CANCELLED)
    await job.open(job.named(2), restart=True)
    second = await job.deliver([0, 2])
    await job.close()
    await job.close()
    [production] = (await fixture.dump())["quel_production_photo"]
    assert production["attach_ids"] == [5, *first, *second]
    assert production["generated_image_count"] == 4
    assert production["production_status"] == "completed"


async def test_two_jobs_of_one_production_keep_each_others_ids(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    production_id = await fixture.production(user_id)
    jobs = [await fixture.opened(user_id, (1,), production_id=production_id) for _ in range(2)]
    ids = [attach_id for job in jobs for attach_id in await job.deliver([0])]
    for job in jobs:
        await job.close()
    [production] = (await fixture.dump())["quel_production_photo"]
    assert (production["attach_ids"], production["generated_image_count"]) == (ids, 2)


@pytest.mark.own_tables
async def test_a_production_without_a_row_does_not_stop_the_end(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (1,), production_id=uuid4())
    await job.deliver([0])
    assert (await job.close()).status is JobStatus.COMPLETED


async def test_a_job_that_delivered_nothing_says_why(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await job.tried(0, Outcome.REFUSED, final=True)
    await job.close(stages=(StageEnd(stage_index=0, status=StageStatus.SHORT, reason="blocked: blood"),))
    assert "blocked: blood" in ((await job.row()).error_message or "")


async def test_the_receipt_counts_the_whole_job_and_its_last_run(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (3, 2))
    await job.deliver([0])
    await job.tried(1, Outcome.MISSED)
    await job.tried(2, Outcome.FAULT)
    await job.begin(2, looked=True)  # its worker dies
    await job.tried(3, Outcome.MISSED, round_=1)
    await job.tried(4, Outcome.MISSED, round_=2)
    await job.tried(0, Outcome.REFUSED, 1)
    receipt = await job.close(
        stages=(
            StageEnd(stage_index=0, status=StageStatus.SHORT, reason="no picture in the answer"),
            StageEnd(stage_index=1, status=StageStatus.SHORT, reason="blocked"),
        )
    )
    assert (receipt.ordered, receipt.delivered, receipt.unit_price) == (5, 1, 20)
    assert [(gap.stage_index, gap.missing, gap.reason) for gap in receipt.missing] == [
        (0, 2, "no picture in the answer"),
        (1, 2, "blocked"),
    ]
    total = receipt.total
    assert (total.delivered, total.charged, total.released) == (1, 20, 80)
    assert (total.provider_calls, total.unknown_calls, total.misses, total.refusals, total.faults) == (7, 1, 3, 1, 1)
    assert total.top_up_rounds == 2
    assert total.seconds >= 0
    assert receipt.last_run == total

    await job.open(job.named(2), restart=True)
    await job.deliver([5, 6])
    await job.tried(1, Outcome.REFUSED, 1, final=True)
    second = await job.close(stages=(StageEnd(stage_index=1, status=StageStatus.SHORT, reason="blocked"),))
    last = second.last_run
    assert (last.delivered, last.charged, last.released) == (2, 40, 40)
    assert (last.provider_calls, last.unknown_calls, last.misses, last.refusals, last.faults) == (3, 0, 0, 1, 0)
    assert last.top_up_rounds == 0
    total = second.total
    assert (total.delivered, total.charged, total.released) == (3, 60, 120)
    assert (total.provider_calls, total.unknown_calls, total.misses, total.refusals) == (10, 1, 3, 2)
    assert total.top_up_rounds == 2
    assert [(gap.stage_index, gap.missing) for gap in second.missing] == [(1, 2)]
    assert await fixture.records.receipt(job.job_id) == second


async def test_every_short_stage_of_a_receipt_has_a_reason(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1, 1))
    receipt = await job.close(End.CANCELLED)
    assert [gap.stage_index for gap in receipt.missing] == [0, 1]
    assert all(gap.reason for gap in receipt.missing)


async def test_an_anonymous_job_is_free(fixture: RecordsFixture) -> None:
    job = await fixture.opened(None, (2,))
    await job.deliver([0, 1])
    receipt = await job.close()
    assert (receipt.status, receipt.delivered, receipt.total.charged) == (JobStatus.COMPLETED, 2, 0)
    assert (receipt.unit_price, (await job.row()).unit_price) == (0, 0)
    dump = await fixture.dump()
    assert dump["quel_credits"] == []
    assert [row["attach_file_path"].split("/")[1] for row in dump["quel_attach"]] == ["user-anonymous"] * 2


async def test_a_failed_job_keeps_its_generated_pictures(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    attach_id = await job.make(0)
    await job.close(End.FAILED, error="billing is off")
    await fixture.records.drop_undelivered(job.job_id, job.run)
    assert [row["attach_id"] for row in (await fixture.dump())["quel_attach"]] == [attach_id]


async def test_a_run_that_never_opened_cannot_close(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    with pytest.raises(RunRefused):
        await job.close()
    assert (await job.row()).status is JobStatus.PENDING


async def test_nothing_changes_an_ended_job(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (2,))
    await job.deliver([0])
    call = uuid4()
    await job.begin(1, call=call)
    await job.close(End.CANCELLED)
    before = await fixture.dump()
    assert (await job.attach(1, call=call)).attach_id is None
    await job.settle(1)
    await job.begin(1)
    await job.control(5, paused=True)
    assert await fixture.dump() == before


async def test_a_call_that_ends_after_the_job_is_still_written_down(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (1,))
    call = uuid4()
    await job.begin(0, call=call)
    await job.close(End.CANCELLED)
    await job.end(call, Outcome.MISSED, "text only")
    assert [row["outcome"] for row in (await fixture.dump())["quel_generation_attempts"]] == ["missed"]


async def test_a_run_that_was_followed_by_another_may_remove_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await job.close(End.CANCELLED)
    first = job.run
    assert await fixture.records.may_remove_leftovers(job.job_id, first)
    await job.open(job.named(2), restart=True)
    assert not await fixture.records.may_remove_leftovers(job.job_id, first)
    await job.make(0)
    before = await fixture.dump()
    await fixture.records.drop_undelivered(job.job_id, first)
    assert await fixture.dump() == before


REMEDY = "; set GEMINI_API_KEY to a key of aistudio.google.com"


@pytest.mark.parametrize("quoted", ["its own words; and more ", "은하수 사진을 그릴 수 없습니다 "])
async def test_a_receipt_cuts_reasons_in_the_middle_and_keeps_their_remedies(
    fixture: RecordsFixture, quoted: str
) -> None:
    reasons = [f"Gemini refuses key {n}: {quoted * 40}{REMEDY}" for n in range(40)]
    ends = tuple(StageEnd(stage_index=n, status=StageStatus.SHORT, reason=why) for n, why in enumerate(reasons))
    alone = await fixture.opened(None, (1,))
    found = await alone.close(stages=ends[:1])
    assert [gap.reason for gap in found.missing] == [shorten(reasons[0])]
    assert found.error_message == shorten(f"nothing was delivered: {shorten(reasons[0])}")
    many = await fixture.opened(None, [1] * 40)
    found = await many.close(stages=ends)
    assert [gap.reason for gap in found.missing] == [shorten(why, most_bytes=200) for why in reasons]
    assert all(gap.reason.endswith(REMEDY) for gap in found.missing)
    assert found.error_message == nothing_delivered(found.missing)
    failed = await fixture.opened(None, (1, 1))
    found = await failed.close(End.FAILED, error=reasons[0])
    assert found.error_message == shorten(reasons[0])
    assert [gap.reason for gap in found.missing] == [shorten(reasons[0])] * 2
