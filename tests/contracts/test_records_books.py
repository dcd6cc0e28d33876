"""Books: their rows, their pages, and what is written on them at the end (spec §7)."""

import json
from typing import Any
from uuid import UUID, uuid4

from darkroom.domain.images import Outcome
from darkroom.domain.jobs import End
from darkroom.domain.storybook import Book, book_result
from tests.support.records.fixture import Job, RecordsFixture


async def a_book(fixture: RecordsFixture, user_id: UUID | None) -> Book:
    book = Book(book_id=uuid4(), user_id=user_id, base_path="books/one")
    await fixture.records.ensure_book(book)
    return book


async def opened(fixture: RecordsFixture, book: Book | None, pages: int = 3) -> Job:
    job = fixture.job(await fixture.member(), [1] * pages)
    job.order = job.order.model_copy(update={"book_id": None if book is None else book.book_id})
    assert await job.create()
    await job.open()
    return job


async def row(fixture: RecordsFixture) -> dict[str, Any]:
    [found] = (await fixture.dump())["quel_books"]
    metadata = found["task_metadata"]
    return {**found, "task_metadata": json.loads(metadata) if isinstance(metadata, str) else metadata}


async def test_a_book_is_made_once(fixture: RecordsFixture) -> None:
    book = await a_book(fixture, uuid4())
    await fixture.records.ensure_book(book.model_copy(update={"base_path": "elsewhere", "user_id": None}))
    assert await fixture.records.book(book.book_id) == book
    assert await fixture.records.book(uuid4()) is None


async def test_a_job_knows_its_book(fixture: RecordsFixture) -> None:
    book = await a_book(fixture, None)
    assert await fixture.records.book_of((await opened(fixture, book)).job_id) == book
    assert await fixture.records.book_of((await opened(fixture, None)).job_id) is None


async def test_pages_are_told_in_order_with_their_picture_or_their_last_error(fixture: RecordsFixture) -> None:
    job = await opened(fixture, await a_book(fixture, None))
    await job.tried(0, Outcome.MISSED, stage=1)
    await job.tried(1, Outcome.FAULT, stage=1)
    [third] = await job.deliver([0], stage=2)
    pages = await fixture.records.book_pages(job.job_id)
    assert [(page.page, page.label, page.attach_id, page.attempts) for page in pages] == [
        (1, "stage 1", None, 0),
        (2, "stage 2", None, 2),
        (3, "stage 3", third, 1),
    ]
    assert [page.path for page in pages] == [None, None, job.key(0, 2).final(job.order.user_id)]
    assert [page.last_error for page in pages] == [None, "the provider said fault", None]


async def test_an_attached_picture_that_is_not_delivered_is_no_page(fixture: RecordsFixture) -> None:
    job = await opened(fixture, None, pages=1)
    await job.make(0)
    [page] = await fixture.records.book_pages(job.job_id)
    assert (page.attach_id, page.path) == (None, None)


async def test_the_books_row_gets_the_result_and_moves_on(fixture: RecordsFixture) -> None:
    book = await a_book(fixture, None)
    job = await opened(fixture, book, pages=2)
    await job.deliver([0])
    result = book_result(await fixture.records.book_pages(job.job_id), book.cover)
    for _ in range(2):
        await fixture.records.finish_book(job.job_id, job.run, result, pictures_done=True)
        found = await row(fixture)
        assert (found["pipeline_stage"], found["progress_percentage"]) == ("image", 60)
        assert found["cover_image"] == "books/one/images/cover.png"
        assert found["task_metadata"]["failed_pages"] == [2]


async def test_a_book_without_pictures_keeps_its_stage_and_its_cover(fixture: RecordsFixture) -> None:
    book = await a_book(fixture, None)
    job = await opened(fixture, book, pages=1)
    await fixture.tables.plant("update quel_books set pipeline_stage = 'text', cover_image = 'old.png'")
    await fixture.records.finish_book(job.job_id, job.run, book_result([], None), pictures_done=False)
    found = await row(fixture)
    assert (found["pipeline_stage"], found["cover_image"]) == ("text", "old.png")
    assert found["task_metadata"]["page_count"] == 0


async def test_a_run_that_is_over_writes_nothing_on_the_book(fixture: RecordsFixture) -> None:
    book = await a_book(fixture, None)
    job = await opened(fixture, book, pages=1)
    first = job.run
    await job.close(End.CANCELLED)
    before = await fixture.dump()
    await fixture.records.finish_book(job.job_id, first, book_result([], None), pictures_done=True)
    assert await fixture.dump() == before
    await job.open(job.named(2), restart=True)
    await fixture.records.finish_book(job.job_id, first, book_result([], None), pictures_done=True)
    assert (await row(fixture))["task_metadata"] is None
