"""Pages of a list of jobs, and all stages of one."""

from collections.abc import Collection, Sequence
from uuid import UUID, uuid4

import pytest

from darkroom.domain.jobs import End
from darkroom.domain.progress import JobStatus
from darkroom.domain.snapshots import JobCursor, JobSummary
from darkroom.records import Records
from tests.support.records.fixture import RecordsFixture


async def pages(
    records: Records, limit: int, statuses: Collection[JobStatus] = (), user_id: UUID | None = None
) -> list[Sequence[JobSummary]]:
    """All pages of a list, one after another."""
    found: list[Sequence[JobSummary]] = []
    before: JobCursor | None = None
    while page := await records.job_page(limit, statuses=statuses, user_id=user_id, before=before):
        found.append(page)
        before = JobCursor(created_at=page[-1].created_at, job_id=page[-1].job_id)
    return found


def ids(found: list[Sequence[JobSummary]]) -> list[UUID]:
    return [job.job_id for page in found for job in page]


async def test_pages_show_every_job_once_newest_first(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    jobs = [(await fixture.pending(user_id, (1,))).job_id for _ in range(5)]
    found = await pages(fixture.records, 2)
    assert [len(page) for page in found] == [2, 2, 1]
    assert ids(found) == jobs[::-1]


async def test_jobs_of_one_moment_are_told_apart_by_their_ids(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    jobs = [(await fixture.pending(user_id, (1,))).job_id for _ in range(7)]
    await fixture.tables.plant(
        "update quel_production_jobs set created_at = :at", at="2026-11-01T10:00:00.000000+00:00"
    )
    for limit in (1, 3, 7):
        assert ids(await pages(fixture.records, limit)) == sorted(jobs, reverse=True)


async def test_a_job_that_is_added_meanwhile_moves_none_of_the_pages_behind_the_cursor(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    jobs = [(await fixture.pending(user_id, (1,))).job_id for _ in range(3)]
    [first] = await fixture.records.job_page(1)
    await fixture.pending(user_id, (1,))
    rest = await fixture.records.job_page(5, before=JobCursor(created_at=first.created_at, job_id=first.job_id))
    assert [job.job_id for job in rest] == [jobs[1], jobs[0]]


async def test_a_list_is_of_one_user_of_one_status_or_of_both(fixture: RecordsFixture) -> None:
    one, other = await fixture.member(), await fixture.member()
    jobs = [(await fixture.pending(user_id, (1,))).job_id for _ in range(3) for user_id in (one, other, None)]
    cancelled = [jobs[0], jobs[1], jobs[6]]
    for job_id in cancelled:
        await fixture.records.cancel_pending(job_id, None)
    for limit in (1, 10):
        assert ids(await pages(fixture.records, limit, user_id=one)) == [jobs[6], jobs[3], jobs[0]]
        assert ids(await pages(fixture.records, limit, (JobStatus.CANCELLED,))) == cancelled[::-1]
        assert ids(await pages(fixture.records, limit, (JobStatus.CANCELLED,), one)) == [jobs[6], jobs[0]]
        assert ids(await pages(fixture.records, limit, (JobStatus.PENDING,), other)) == [jobs[7], jobs[4]]
        assert ids(await pages(fixture.records, limit, (JobStatus.FAILED,), one)) == []
        assert ids(await pages(fixture.records, limit, (JobStatus.FAILED, JobStatus.CANCELLED))) == cancelled[::-1]
        assert ids(await pages(fixture.records, limit, tuple(JobStatus), one)) == [jobs[6], jobs[3], jobs[0]]
    assert await fixture.records.job_page(5, user_id=uuid4()) == []


async def test_a_line_says_how_its_job_stands(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    await job.deliver([0])
    await job.control(1, paused=True, cancel_requested=True, reason="enough")
    await fixture.records.refresh(job.job_id)
    row = await job.row()
    [line] = await fixture.records.job_page(5)
    assert (line.job_type, line.status, line.paused, line.cancel_requested) == (
        "pipeline_stage",
        JobStatus.PROCESSING,
        True,
        True,
    )
    assert (line.total_images, line.completed_images, line.failed_images) == (3, 1, 0)
    assert (line.created_at, line.started_at, line.completed_at) == (row.created_at, row.started_at, None)
    await job.close(End.FAILED, error="the key is wrong")
    row = await job.row()
    [line] = await fixture.records.job_page(5)
    assert (line.status, line.error_message, line.failed_images) == (JobStatus.FAILED, "the key is wrong", 2)
    assert line.completed_at == row.completed_at


async def test_a_line_begins_with_the_first_prompt_once_the_job_was_opened(fixture: RecordsFixture) -> None:
    job = fixture.job(await fixture.member(), (1, 1))
    prompts = {0: "a calm sea at dawn, " + "ünd " * 100, 1: "not this one"}
    stages = [stage.model_copy(update={"prompt": prompts[stage.stage_index]}) for stage in job.order.stages]
    job.order = job.order.model_copy(update={"stages": tuple(reversed(stages))})
    await job.create()
    [line] = await fixture.records.job_page(5)
    assert line.title is None
    await job.open()
    [line] = await fixture.records.job_page(5)
    assert line.title == prompts[0][:200]


@pytest.mark.parametrize("delivered", [0, 1, 5, 6, 7, 12])
async def test_a_line_shows_the_first_pictures_and_no_long_list(fixture: RecordsFixture, delivered: int) -> None:
    job = await fixture.opened(await fixture.member(), (2, 12))
    if delivered:
        await job.deliver(list(reversed(range(delivered - 1))), 1)
        await job.deliver([1])
    await fixture.records.refresh(job.job_id)
    [line] = await fixture.records.job_page(5)
    assert line.first_attach_ids == (await job.row()).generated_attach_ids[:6]
    assert len(line.first_attach_ids) == min(delivered, 6)


@pytest.mark.own_tables
async def test_long_numbers_are_shown_whole(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (8,))
    await job.deliver(list(range(8)))
    await fixture.tables.plant("update quel_attach set attach_id = attach_id + 2000000000")
    await fixture.tables.plant("update quel_credits set attach_idx = attach_idx + 2000000000")
    await fixture.records.refresh(job.job_id)
    [line] = await fixture.records.job_page(5)
    assert line.first_attach_ids == (await job.row()).generated_attach_ids[:6]
    assert min(line.first_attach_ids) > 2_000_000_000


async def test_all_stages_are_told_in_order_as_they_were_ordered(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member(), (2, 3, 1))
    assert list(await fixture.records.stages(job.job_id)) == []
    await job.open()
    assert tuple(await fixture.records.stages(job.job_id)) == job.order.stages
    assert list(await fixture.records.stages(uuid4())) == []
