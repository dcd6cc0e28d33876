"""A back end that sets a job's row to cancelled cancels the job (spec §2); the records let its run end."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from darkroom.domain.attempts import Begin
from darkroom.domain.images import Settlement
from darkroom.domain.jobs import End, Request
from darkroom.domain.progress import CANCELLED_WORDS, JobStatus
from tests.support.records.fixture import PRICE, Job, RecordsFixture

WORDS = ("cancelled", "user_cancelled")
BY_ROW = "its row was set to cancelled"


async def set_status(fixture: RecordsFixture, job: Job, status: str) -> None:
    """As somebody else with the same tables does; who has them without a word cannot write it."""
    if await fixture.tables.word("job_status", status) != status:
        pytest.skip(f"the check of these tables excludes {status}")
    await fixture.tables.plant(
        "update quel_production_jobs set job_status = :status where job_id = :job",
        status=status,
        job=str(job.job_id),
    )


async def cancel_row(fixture: RecordsFixture, job: Job) -> str:
    """Set a job's row to cancelled in the word that its table has; gives that."""
    word = await fixture.tables.word("job_status", "cancelled")
    assert word in WORDS
    await set_status(fixture, job, word)
    return word


async def status_on_row(fixture: RecordsFixture, job_id: UUID) -> str:
    [row] = [row for row in (await fixture.dump())["quel_production_jobs"] if row["job_id"] == str(job_id)]
    return str(row["job_status"])


async def waiting(fixture: RecordsFixture) -> list[UUID]:
    return [job.job_id for job in await fixture.records.cancelled_rows()]


@pytest.mark.parametrize("word", WORDS)
async def test_a_cancelled_row_begins_no_call_and_settles_what_is_in_progress(
    fixture: RecordsFixture, word: str
) -> None:
    member = await fixture.member()
    production = await fixture.production(member)
    job = await fixture.opened(member, (4,), production_id=production)
    await job.deliver([0])
    await job.begin(1)
    attached = await job.make(2)
    await set_status(fixture, job, word)

    held = await job.begin(3)
    assert (held.begin, held.final) == (Begin.HELD, False)
    assert (await job.attach(1)).attach_id is not None
    assert (await job.settle(1)).settlement is Settlement.SETTLED
    assert (await job.settle(2)).attach_id == attached
    receipt = await job.close(End.CANCELLED)

    assert (receipt.status, receipt.delivered, receipt.total.charged) == (JobStatus.CANCELLED, 3, 3 * PRICE)
    assert receipt.total.released == PRICE
    assert await status_on_row(fixture, job.job_id) == word
    account = await fixture.account(member)
    assert (account.balance, account.held) == (1_000 - 3 * PRICE, 0)
    row = await job.row()
    assert (row.status, row.completed_images, row.failed_images) == (JobStatus.CANCELLED, 3, 0)
    [photo] = (await fixture.dump())["quel_production_photo"]
    assert photo["production_status"] == await fixture.said_of_production("cancelled")
    assert photo["attach_ids"] == list(row.generated_attach_ids)


@pytest.mark.parametrize("end", list(End))
async def test_what_a_back_end_wrote_stays_however_the_run_ends(fixture: RecordsFixture, end: End) -> None:
    job = await fixture.opened(await fixture.member(), (1,))
    await job.deliver([0])
    await set_status(fixture, job, "user_cancelled")
    receipt = await job.close(end, error="the key is wrong" if end is End.FAILED else None)
    assert receipt.status is JobStatus.CANCELLED
    assert await job.close(end) == receipt
    assert await status_on_row(fixture, job.job_id) == "user_cancelled"


async def test_nothing_of_a_cancelled_row_is_tidied_away_while_its_run_is_open(fixture: RecordsFixture) -> None:
    member = await fixture.member()
    job = await fixture.opened(member, (2,))
    await job.make(0)
    await cancel_row(fixture, job)
    assert list(await fixture.records.release_ended_holds()) == []
    assert not await fixture.records.may_remove_leftovers(job.job_id, job.run)
    await fixture.records.drop_undelivered(job.job_id, job.run)
    assert (await job.settle(0)).settlement is Settlement.SETTLED
    assert list(await fixture.records.audit()) == []
    await job.close(End.CANCELLED)
    assert await fixture.records.may_remove_leftovers(job.job_id, job.run)


@pytest.mark.parametrize("asked", [{}, {"paused": True}, {"failing": True}])
async def test_no_control_takes_the_cancel_of_a_row_back(fixture: RecordsFixture, asked: dict[str, Any]) -> None:
    job = await fixture.opened(await fixture.member())
    await job.control(1, paused=True)
    await cancel_row(fixture, job)
    assert await job.control(2, **asked) == 2
    held = await job.begin(0)
    assert (held.begin, held.final) == (Begin.HELD, False)
    row = await job.row()
    assert (row.status, row.cancel_requested) == (JobStatus.PROCESSING, True)
    assert await waiting(fixture) == [job.job_id]
    await job.close(End.CANCELLED)


async def test_a_cancelled_row_waits_until_its_run_has_heard_of_it(fixture: RecordsFixture) -> None:
    heard, closed = [await fixture.opened(await fixture.member()) for _ in range(2)]
    assert await waiting(fixture) == []
    for job in (heard, closed):
        await set_status(fixture, job, "user_cancelled")
    assert sorted(await waiting(fixture)) == sorted([heard.job_id, closed.job_id])
    assert [job.job_id for job in await fixture.records.cancelled_rows(heard.job_id)] == [heard.job_id]
    assert await heard.control(1, cancel_requested=True, reason=BY_ROW) == 1
    await closed.close(End.CANCELLED)
    assert await waiting(fixture) == []
    assert await fixture.records.cancelled_rows(uuid4()) == []
    await heard.close(End.CANCELLED)


async def test_a_job_that_was_cancelled_otherwise_waits_for_nothing(fixture: RecordsFixture) -> None:
    member = await fixture.member()
    pending = await fixture.pending(member)
    await fixture.records.cancel_pending(pending.job_id, None)
    asked = await fixture.opened(member)
    await asked.control(1, cancel_requested=True)
    await asked.close(End.CANCELLED)
    assert await waiting(fixture) == []


@pytest.mark.parametrize("word", WORDS)
async def test_a_pending_row_that_is_cancelled_is_opened_by_a_restart_only(fixture: RecordsFixture, word: str) -> None:
    member = await fixture.member()
    job = await fixture.pending(member)
    await set_status(fixture, job, word)
    assert (await job.open()).superseded is not None
    assert await status_on_row(fixture, job.job_id) == word
    assert await waiting(fixture) == []
    assert (await fixture.account(member)).held == 0
    assert (await fixture.records.take_request(job.job_id, Request.CANCEL, None)).number is None
    assert (await job.open(job.named(2), restart=True)).superseded is None
    assert (await job.row()).status is JobStatus.PROCESSING


async def test_a_restart_forgets_the_cancel_of_the_row(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member())
    await set_status(fixture, job, "user_cancelled")
    await job.close(End.CANCELLED)
    assert (await job.open(job.named(2), restart=True)).superseded is None
    assert (await job.begin(0)).begin is Begin.BEGUN
    assert not (await job.row()).cancel_requested


@pytest.mark.parametrize("asked", [{}, {"reason": "changed my mind"}])
async def test_the_word_of_the_deployment_is_written(planted: RecordsFixture, asked: dict[str, str]) -> None:
    planted.records._cancelled = "user_cancelled"  # type: ignore[attr-defined]  # as CANCELLED_STATUS says
    member = await planted.member()
    job, pending = await planted.opened(member, (2,)), await planted.pending(member)
    await job.control(1, cancel_requested=True, **asked)
    receipt = await job.close(End.CANCELLED)
    assert await job.close(End.CANCELLED) == receipt
    assert await planted.records.cancel_pending(pending.job_id, None)
    for one in (job, pending):
        assert await status_on_row(planted, one.job_id) == "user_cancelled"
        assert (await one.row()).status is JobStatus.CANCELLED
    failed = await planted.opened(member, (1,))
    assert (await failed.close(End.FAILED, error="the key is wrong")).status is JobStatus.FAILED
    assert await status_on_row(planted, failed.job_id) == "failed"


@pytest.mark.parametrize("word", CANCELLED_WORDS)
async def test_a_cancel_that_is_written_over_holds_nothing_or_is_heard_of(fixture: RecordsFixture, word: str) -> None:
    job = await fixture.opened(await fixture.member())
    await set_status(fixture, job, word)
    await set_status(fixture, job, "processing")
    held = (await job.begin(0)).begin is Begin.HELD
    assert held == bool(await fixture.records.cancelled_rows(job.job_id))


@pytest.mark.parametrize("status", ["failed", "completed"])
async def test_any_other_end_on_the_row_ends_the_run(fixture: RecordsFixture, status: str) -> None:
    job = await fixture.opened(await fixture.member())
    await set_status(fixture, job, status)
    held = await job.begin(0)
    assert (held.begin, held.final) == (Begin.HELD, True)
    assert list(await fixture.records.release_ended_holds()) == [job.job_id]


async def test_a_row_that_another_worker_has_begun_is_left_to_it(fixture: RecordsFixture) -> None:
    member = await fixture.member()
    job = await fixture.pending(member)
    await set_status(fixture, job, "processing")
    opened = await job.open()
    assert opened.superseded == "another worker has begun the job"
    assert (await job.row()).run_id is None
    assert (await fixture.account(member)).held == 0
