"""A file that an older Darkroom made is brought up to date by whoever opens it first, and keeps what it has."""

import asyncio
import sqlite3
from pathlib import Path
from uuid import uuid4

import pytest

from darkroom.domain.jobs import End
from darkroom.domain.keys import NewApiKey
from darkroom.domain.storybook import Book, book_result
from darkroom.records.sqlite import SqliteRecords
from tests.support.records.fixture import Job, RecordsFixture
from tests.support.records.tables import SqliteTables


async def file_of_version_1(path: Path) -> Job:
    """A job that was cancelled, in a file from before picture books; its records are closed."""
    records = SqliteRecords(path)
    fixture = RecordsFixture(records, SqliteTables(records))
    job = await fixture.opened(await fixture.member(), (2,))
    await job.deliver([0])
    await job.close(End.CANCELLED)
    await records.close()
    with sqlite3.connect(path) as db:
        without_watching(db)
        db.execute("drop table quel_books")
        db.execute("drop index quel_production_jobs_book")
        db.execute("alter table quel_production_jobs drop column book_id")
        db.execute("alter table quel_production_jobs drop column webhook_url")
        db.execute("pragma user_version = 1")
    db.close()
    return job


def without_watching(db: sqlite3.Connection) -> None:
    """A file from before jobs were watched: no models, no keys, none of the indexes for it."""
    for index in (
        "quel_production_jobs_member",
        "quel_production_jobs_member_status",
        "quel_production_jobs_short",
        "quel_attach_arrival",
        "quel_attach_waiting",
        "quel_generation_attempts_round",
        "quel_generation_attempts_without_picture",
    ):
        db.execute(f"drop index {index}")
    db.execute("alter table quel_generation_attempts drop column model")
    db.execute("alter table quel_credits rename column user_id to quel_member_id")
    db.execute("drop table quel_api_keys")
    db.execute("drop table quel_job_words")
    db.execute("alter table quel_production_jobs drop column job_name")
    without_organizations(db)
    db.execute("pragma user_version = 2")


def without_organizations(db: sqlite3.Connection) -> None:
    """A file from before organizations paid."""
    for table in ("quel_organization_opening", "quel_organization_member", "quel_organization"):
        db.execute(f"drop table {table}")
    for index in ("quel_credits_organization", "quel_credit_holds_organization"):
        db.execute(f"drop index {index}")
    for table, column in (
        ("quel_credits", "org_id"),
        ("quel_credits", "used_by_member_id"),
        ("quel_credit_holds", "org_id"),
        ("quel_production_jobs", "org_id"),
    ):
        db.execute(f"alter table {table} drop column {column}")


async def file_of_version_2(path: Path) -> Job:
    """A running job with a picture, in a file from before jobs were watched; its records are closed."""
    records = SqliteRecords(path)
    fixture = RecordsFixture(records, SqliteTables(records))
    job = await fixture.opened(await fixture.member(), (2,))
    await job.deliver([0])
    await records.close()
    with sqlite3.connect(path) as db:
        without_watching(db)
    db.close()
    return job


async def test_an_older_file_takes_picture_books_and_keeps_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    old = await file_of_version_1(path)
    records = SqliteRecords(path)
    fixture = RecordsFixture(records, SqliteTables(records))
    receipt = await records.receipt(old.job_id)
    assert receipt is not None
    assert (receipt.delivered, await records.book_of(old.job_id)) == (1, None)
    assert await records.audit() == []
    book = Book(book_id=uuid4(), user_id=None, base_path="books/one")
    await records.ensure_book(book)
    job = fixture.job(await fixture.member(), [1])
    job.order = job.order.model_copy(update={"book_id": book.book_id})
    await job.create()
    await job.open()
    assert await records.book_of(job.job_id) == book
    await records.finish_book(job.job_id, job.run, book_result([], book.cover), pictures_done=True)
    assert [row["cover_image"] for row in (await fixture.dump())["quel_books"]] == [book.cover]
    await records.close()


def schema(path: Path) -> set[tuple[str, str]]:
    """Every table, column and index there is."""
    with sqlite3.connect(path) as db:
        found = {(row[0], "") for row in db.execute("select name from sqlite_master")}
        found |= {
            (table, column)
            for table, _ in found
            for (column,) in db.execute("select name from pragma_table_info(?)", (table,))
        }
    db.close()
    return found


async def test_an_older_file_can_be_watched_and_its_running_job_goes_on(tmp_path: Path) -> None:
    path, new = tmp_path / "records.db", SqliteRecords(tmp_path / "new.db")
    job = await file_of_version_2(path)
    records = SqliteRecords(path)
    job.records = records
    await job.begin(1, model="newer")
    snapshot = await records.snapshot(job.job_id, None, 10)
    assert snapshot is not None
    assert [(one.ordinal, one.model) for one in snapshot.pictures] == [(0, None)]
    assert [one.ordinal for one in snapshot.undelivered] == [1]
    await records.add_api_key(
        NewApiKey(key_id=uuid4(), user_id=uuid4(), name="front end", operator=False, key_hash="hash")
    )
    assert await records.api_key("hash") is not None
    assert [found.job_id for found in await records.job_page(5, words=("quiet",))] == [job.job_id]
    await records.close()
    await new.jobs(None, 1)
    await new.close()
    assert schema(path) == schema(tmp_path / "new.db")


async def test_a_file_of_before_the_first_release_goes_on(tmp_path: Path) -> None:
    path, new = tmp_path / "records.db", SqliteRecords(tmp_path / "new.db")
    job = await file_of_version_2(path)
    with sqlite3.connect(path) as db:
        db.execute("alter table quel_production_jobs drop column failing")
        db.execute("alter table quel_generation_attempts drop column attempt")
        db.execute("drop index quel_attach_delivered")
        db.execute("pragma user_version = 0")
    db.close()
    job.records = SqliteRecords(path)
    await job.deliver([1])
    assert (await job.close(End.DELIVERED)).delivered == 2
    assert await job.records.audit() == []
    await job.records.close()
    await new.jobs(None, 1)
    await new.close()
    assert schema(path) == schema(tmp_path / "new.db")


async def test_several_that_open_an_older_file_at_once_all_find_it_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    await file_of_version_1(path)
    several = [SqliteRecords(path) for _ in range(8)]
    found = await asyncio.gather(*(records.book(uuid4()) for records in several))
    assert found == [None] * 8
    for records in several:
        await records.close()


async def test_an_older_file_takes_the_other_word_for_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    old = await file_of_version_2(path)
    with sqlite3.connect(path) as db:
        db.execute("pragma writable_schema = on")
        db.execute("update sqlite_schema set sql = replace(sql, ?, '')", (", 'user_cancelled'",))
    db.close()
    cancel = "update quel_production_jobs set job_status = 'user_cancelled'"
    with sqlite3.connect(path) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute(cancel)
    db.close()
    records = SqliteRecords(path)
    await records.refresh(old.job_id)
    with sqlite3.connect(path) as db:
        db.execute(cancel)
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    db.close()
    assert [job.job_id for job in await records.cancelled_rows()] == [old.job_id]
    await records.close()
