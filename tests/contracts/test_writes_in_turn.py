"""Changes of the embedded records that wait for one another: none is left behind, and few are the transactions."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest

from darkroom.domain.errors import JobNotFound
from darkroom.gathering import Pace
from darkroom.records.sqlite.database import MOST_AT_ONCE, Database

MANY = 2 * MOST_AT_ONCE + 50
AT_ONCE = 3


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "records.db", Pace(3600, AT_ONCE))
    await database.write(_make)
    yield database
    await database.close()


def _make(db: sqlite3.Connection) -> None:
    db.execute("create table kept (number integer primary key)")


def _keep(db: sqlite3.Connection, number: int) -> int:
    if number < 0:
        raise JobNotFound("less than nothing")
    db.execute("insert into kept values (?)", (number,))
    return number


def _kept(db: sqlite3.Connection) -> list[int]:
    return [row["number"] for row in db.execute("select number from kept order by number")]


async def _traced(database: Database) -> list[str]:
    statements: list[str] = []
    await database.write(lambda db: db.set_trace_callback(statements.append))
    return statements


def _transactions(statements: Sequence[str]) -> int:
    return sum(statement.lower().startswith("begin") for statement in statements)


async def _waiting(database: Database, numbers: Iterable[int]) -> list[asyncio.Task[int]]:
    """Changes that wait for others, after as many as do not."""
    for number in range(AT_ONCE):
        await database.write_in_turn(_keep, number)
    tasks = [asyncio.create_task(database.write_in_turn(_keep, number)) for number in numbers]
    await asyncio.sleep(0)  # each has asked
    return tasks


async def test_all_that_wait_are_written_in_few_transactions_however_many_they_are(tmp_path: Path) -> None:
    database = Database(tmp_path / "records.db", Pace(0.05, AT_ONCE))
    await database.write(_make)
    statements = await _traced(database)
    tasks = await _waiting(database, range(AT_ONCE, MANY))
    assert await asyncio.wait_for(asyncio.gather(*tasks), 30) == list(range(AT_ONCE, MANY))
    assert await database.read(_kept) == list(range(MANY))
    # Full ones go on at once, and what is left after the last of them has a turn of its own, as the first may have had.
    assert AT_ONCE < _transactions(statements) <= AT_ONCE + MANY // MOST_AT_ONCE + 2
    await database.close()


async def test_a_change_that_does_not_wait_takes_along_those_that_do(database: Database) -> None:
    waiting = await _waiting(database, range(AT_ONCE, AT_ONCE + 3))
    statements = await _traced(database)
    assert await asyncio.gather(*waiting) == [AT_ONCE, AT_ONCE + 1, AT_ONCE + 2]
    assert not _transactions(statements), "they came along"


async def test_what_is_refused_of_one_is_that_ones_alone(database: Database) -> None:
    waiting = await _waiting(database, (10, -1, 20))
    await database.write(_keep, 30)
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["10", "less than nothing", "20"]
    assert await database.read(_kept) == [*range(AT_ONCE), 10, 20, 30]


async def test_what_waits_when_the_records_are_closed_is_written_first(tmp_path: Path) -> None:
    database = Database(tmp_path / "records.db", Pace(3600, AT_ONCE))
    await database.write(_make)
    tasks = await _waiting(database, range(AT_ONCE, MANY))
    await database.close()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10) == list(range(AT_ONCE, MANY))
    with pytest.raises(RuntimeError, match="after shutdown"):
        await asyncio.wait_for(database.write_in_turn(_keep, MANY), 10)
    reopened = Database(tmp_path / "records.db")
    assert await reopened.read(_kept) == list(range(MANY))
    await reopened.close()


async def test_who_stops_waiting_is_not_written_and_holds_up_nobody(database: Database) -> None:
    gone, stays = await _waiting(database, (100, 101))
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await asyncio.sleep(0)  # the change hears of it
    await database.write(_keep, 102)
    assert await asyncio.wait_for(stays, 10) == 101
    assert await database.read(_kept) == [*range(AT_ONCE), 101, 102]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="which files are open is seen on Linux only")
async def test_what_undoes_one_change_of_many_is_in_no_file_of_the_system(database: Database) -> None:
    """The folder for temporary files may be full, and each page would be written once more."""
    files: list[str] = []

    def rewrite(db: sqlite3.Connection, number: int) -> None:
        db.execute("update kept set number = -number")
        if number == AT_ONCE + 3:
            files.extend(str(opened.readlink()) for opened in Path("/proc/self/fd").iterdir() if opened.is_symlink())

    await database.write(lambda db: db.executemany("insert into kept values (?)", [(one,) for one in range(1, 50_000)]))
    for number in range(AT_ONCE):
        await database.write_in_turn(rewrite, number)
    changes = [asyncio.create_task(database.write_in_turn(rewrite, AT_ONCE + number)) for number in range(4)]
    await asyncio.sleep(0)
    await database.write(_keep, 60_000)
    await asyncio.gather(*changes)
    assert any(name.endswith("records.db-wal") for name in files)
    assert not [name for name in files if "etilqs" in name]
