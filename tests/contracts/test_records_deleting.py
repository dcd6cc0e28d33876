"""Deleted jobs: what they showed is gone, what they cost stays, and nothing opens them again."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from darkroom.domain.deleting import Deletion
from darkroom.domain.errors import JobNotFound
from darkroom.domain.jobs import End
from darkroom.domain.orders import Reference
from darkroom.domain.storybook import Book, book_result
from tests.support.records.fixture import PRICE, Job, RecordsFixture


async def ended(fixture: RecordsFixture, user_id: UUID | None, quantity: int = 3, delivered: int = 2) -> Job:
    job = await fixture.opened(user_id, (quantity,))
    await job.deliver(range(delivered))
    await job.close(End.DELIVERED)
    await fixture.records.rename_job(job.job_id, "Lakes")
    return job


async def deletion(fixture: RecordsFixture, job: Job) -> Deletion:
    found = await fixture.records.deletion(job.job_id)
    assert found is not None
    return found


async def test_what_a_delete_removes_is_said_before_and_changes_nothing(fixture: RecordsFixture) -> None:
    job = await ended(fixture, await fixture.member())
    before = await fixture.dump()
    found = await deletion(fixture, job)
    assert (found.pictures, found.references, found.marks, found.cover) == (2, 1, 0, None)
    assert (found.bytes, found.name, found.refusal, found.deleted_at) == (
        sum(image.size for image in await fixture.records.delivered_images(job.job_id, 0, 10)),
        "Lakes",
        None,
        None,
    )
    assert await fixture.dump() == before
    assert await fixture.records.deletion(uuid4()) is None


async def test_a_deleted_job_keeps_its_numbers_and_shows_nothing(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job, other = await ended(fixture, user_id), await ended(fixture, user_id)
    images = await fixture.records.delivered_images(job.job_id, 0, 10)
    kept = await job.row(), await fixture.records.receipt(job.job_id), await fixture.account(user_id)
    before = await fixture.dump()
    begun = await fixture.records.begin_delete(job.job_id)
    assert begun.deleted_at is not None
    row = await job.row()
    assert row.model_copy(update={"name": "Lakes", "deleted_at": None, "updated_at": kept[0].updated_at}) == kept[0]
    assert (await fixture.records.receipt(job.job_id), await fixture.account(user_id)) == kept[1:]
    assert (row.completed_images, row.failed_images, row.deleted_at) == (2, 1, begun.deleted_at)
    after = await fixture.dump()
    for table in ("quel_credits", "quel_member", "quel_job_runs", "quel_generation_attempts", "quel_credit_holds"):
        assert after[table] == before[table]

    snapshot = await fixture.records.snapshot(job.job_id, None, 10)
    assert snapshot is not None
    assert (snapshot.pictures, snapshot.name, snapshot.deleted_at) == ((), None, begun.deleted_at)
    assert snapshot.spent == 2 * PRICE
    assert await fixture.records.delivered_images(job.job_id, 0, 10) == []
    assert [image.job_id for image in await fixture.records.delivered_images(None, 0, 10)] == [other.job_id] * 2
    for image in images:
        assert await fixture.records.stored_file(image.attach_id) is None
    assert await fixture.records.reference_owners([image.attach_id for image in images]) == {}
    [stage] = await fixture.records.stages(job.job_id)
    assert (stage.prompt, stage.references) == ("", ())
    assert (await fixture.records.order_source(job.job_id)).document == {}
    assert [line.job_id for line in await fixture.records.job_page(10)] == [other.job_id]
    assert [line.job_id for line in await fixture.records.job_page(10, words=("lakes",))] == [other.job_id]
    assert [line.job_id for line in await fixture.records.found_jobs(10)] == [other.job_id]


async def test_deleting_twice_is_deleting_once(fixture: RecordsFixture) -> None:
    job = await ended(fixture, await fixture.member())
    first = await fixture.records.begin_delete(job.job_id)
    after = await fixture.dump()
    again = await fixture.records.begin_delete(job.job_id)
    assert (again.deleted_at, again.refusal, again.files_removed) == (first.deleted_at, None, False)
    assert await fixture.dump() == after
    with pytest.raises(JobNotFound):
        await fixture.records.begin_delete(uuid4())


async def test_files_are_told_in_pages_until_they_are_gone(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await ended(fixture, user_id, 3, 3)
    paths = [image.path for image in await fixture.records.delivered_images(job.job_id, 0, 10)]
    with pytest.raises(JobNotFound):
        await fixture.records.deleted_files(job.job_id, 0, 2)
    await fixture.records.begin_delete(job.job_id)
    assert list(await fixture.records.unfinished_deletes(10)) == [job.job_id]
    first, last = await fixture.records.deleted_files(job.job_id, 0, 2)
    assert last is not None
    second, end = await fixture.records.deleted_files(job.job_id, last, 2)
    assert ([*first.paths, *second.paths], end, first.user_id) == (paths, None, user_id)
    for _ in range(2):
        await fixture.records.finish_delete(job.job_id)
        assert await fixture.records.unfinished_deletes(10) == []
    assert (await deletion(fixture, job)).files_removed


async def test_a_job_that_goes_on_is_not_deleted(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    pending, running = await fixture.pending(user_id), await fixture.opened(user_id)
    before = await fixture.dump()
    for job, status in ((pending, "pending"), (running, "processing")):
        refused = await fixture.records.begin_delete(job.job_id)
        assert refused.refusal == f"is {status}; cancel it first, or wait until it ends"
        assert refused.deleted_at is None
    assert await fixture.dump() == before


async def test_a_job_of_before_darkroom_is_left_to_the_application_that_made_it(planted: RecordsFixture) -> None:
    job = await planted.pending(await planted.member())
    await planted.tables.plant(
        "update quel_production_jobs set job_status = 'completed', completed_at = :at where job_id = :id",
        at="2020-01-01T00:00:00+00:00",
        id=str(job.job_id),
    )
    before = await planted.dump()
    refused = await planted.records.begin_delete(job.job_id)
    assert refused.refusal == "was made before Darkroom; delete it in the application that made it"
    assert await planted.records.ended_jobs(datetime.now(UTC), None, 10) == []
    assert await planted.dump() == before


async def test_a_cancelled_job_that_no_run_opened_is_deleted(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member())
    await fixture.records.cancel_pending(job.job_id, None)
    assert (await fixture.records.begin_delete(job.job_id)).deleted_at is not None
    assert (await job.open(restart=True)).superseded == "the job was deleted; its pictures and prompts are gone"


async def test_no_restart_opens_a_deleted_job(fixture: RecordsFixture) -> None:
    job = await ended(fixture, await fixture.member())
    await fixture.records.begin_delete(job.job_id)
    after = await fixture.dump()
    opened = await job.open(job.named(2), restart=True)
    assert opened.superseded == "the job was deleted; its pictures and prompts are gone"
    assert await fixture.dump() == after


async def test_a_job_is_kept_while_another_that_has_not_ended_is_drawn_after_its_pictures(
    fixture: RecordsFixture,
) -> None:
    user_id = await fixture.member()
    job = await ended(fixture, user_id)
    [first, second] = await fixture.records.delivered_images(job.job_id, 0, 10)
    user = fixture.job(user_id, (1, 1))
    references = tuple(Reference(attach_id=image.attach_id) for image in (first, second, second))
    stages = tuple(stage.model_copy(update={"references": references}) for stage in user.order.stages)
    user.order = user.order.model_copy(update={"stages": stages})
    await user.create()
    await user.open()
    refused = await fixture.records.begin_delete(job.job_id)
    assert refused.refusal == (
        f"cannot be deleted yet: job {user.job_id}, which has not ended, is drawn after 2 of its pictures"
    )
    assert await fixture.records.stored_file(first.attach_id) is not None
    await user.close(End.CANCELLED)
    assert (await fixture.records.begin_delete(job.job_id)).deleted_at is not None


async def test_pictures_that_wait_for_a_restart_go_with_their_job(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await job.deliver([0])
    await job.make(1)
    await job.close(End.FAILED, error="the key is wrong")
    await fixture.records.begin_delete(job.job_id)
    rows = (await fixture.dump())["quel_attach"]
    assert [(row["ordinal"], row["deleted_at"] is not None) for row in rows if row["job_id"] is not None] == [(0, True)]


@pytest.mark.own_tables
async def test_a_cover_goes_with_the_last_job_of_its_book(fixture: RecordsFixture) -> None:
    book = Book(book_id=uuid4(), user_id=None, base_path="books/one")
    await fixture.records.ensure_book(book)
    jobs = []
    for _ in range(2):
        job = fixture.job(await fixture.member(), (1,))
        job.order = job.order.model_copy(update={"book_id": book.book_id})
        await job.create()
        await job.open()
        await job.deliver([0])
        await fixture.records.finish_book(job.job_id, job.run, book_result([], book.cover), pictures_done=True)
        await job.close(End.DELIVERED)
        jobs.append(job)
    assert (await fixture.records.begin_delete(jobs[0].job_id)).cover is None
    assert [row["cover_image"] for row in (await fixture.dump())["quel_books"]] == [book.cover]
    assert (await fixture.records.begin_delete(jobs[1].job_id)).cover == book.cover
    assert [row["cover_image"] for row in (await fixture.dump())["quel_books"]] == [None]
    files, _ = await fixture.records.deleted_files(jobs[1].job_id, 0, 10)
    assert files.cover == book.cover


async def test_jobs_that_ended_long_ago_are_told_oldest_first_and_not_when_deleted(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    jobs = [await ended(fixture, user_id) for _ in range(5)]
    await fixture.opened(user_id)
    now = datetime.now(UTC)
    for age, job in enumerate(reversed(jobs)):
        await fixture.tables.plant(
            "update quel_production_jobs set completed_at = :at where job_id = :id",
            at=(now - timedelta(days=age)).isoformat(timespec="microseconds"),
            id=str(job.job_id),
        )
    await fixture.records.begin_delete(jobs[1].job_id)
    told: list[UUID] = []
    after: tuple[datetime, UUID] | None = None
    while page := await fixture.records.ended_jobs(now - timedelta(hours=12), after, 2):
        last = page[-1]
        assert last.completed_at is not None
        after = last.completed_at, last.job_id
        told += [found.job_id for found in page]
    assert told == [jobs[0].job_id, jobs[2].job_id, jobs[3].job_id]
