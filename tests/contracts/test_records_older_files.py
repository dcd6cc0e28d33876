"""A file that an older Darkroom made is brought up to date by whoever opens it first, and keeps what it has."""

import asyncio
import sqlite3
from pathlib import Path
from uuid import uuid4

from darkroom.domain.books import Book, book_result
from darkroom.domain.jobs import End
from darkroom.records.sqlite import SqliteRecords
from tests.contracts.scene import Job, Scene
from tests.contracts.tables import SqliteTables


async def file_of_version_1(path: Path) -> Job:
    """A job that was cancelled, in a file from before picture books; its records are closed."""
    records = SqliteRecords(path)
    scene = Scene(records, SqliteTables(records))
    job = await scene.opened(await scene.member(), (2,))
    await job.deliver([0])
    await job.close(End.CANCELLED)
    await records.close()
    with sqlite3.connect(path) as db:
        db.execute("drop table quel_books")
        db.execute("alter table quel_production_jobs drop column book_id")
        db.execute("pragma user_version = 1")
    db.close()
    return job


async def test_an_older_file_takes_picture_books_and_keeps_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    old = await file_of_version_1(path)
    records = SqliteRecords(path)
    scene = Scene(records, SqliteTables(records))
    receipt = await records.receipt(old.job_id)
    assert receipt is not None
    assert (receipt.delivered, await records.book_of(old.job_id)) == (1, None)
    assert await records.audit() == []
    book = Book(book_id=uuid4(), user_id=None, base_path="books/one")
    await records.ensure_book(book)
    job = scene.job(await scene.member(), [1])
    job.order = job.order.model_copy(update={"book_id": book.book_id})
    await job.create()
    await job.open()
    assert await records.book_of(job.job_id) == book
    await records.finish_book(job.job_id, job.run, book_result([], book.cover), pictures_done=True)
    assert [row["cover_image"] for row in (await scene.dump())["quel_books"]] == [book.cover]
    await records.close()


async def test_several_that_open_an_older_file_at_once_all_find_it_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    await file_of_version_1(path)
    several = [SqliteRecords(path) for _ in range(8)]
    found = await asyncio.gather(*(records.book(uuid4()) for records in several))
    assert found == [None] * 8
    for records in several:
        await records.close()
