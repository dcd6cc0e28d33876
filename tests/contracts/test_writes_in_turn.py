"""Changes of the embedded records that wait for one another: none is left behind, and few are the transactions."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from darkroom.domain.errors import JobNotFound
from darkroom.records.sqlite.database import AT_ONCE, Database

MANY = 250
"""More than fit into two transactions."""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "records.db")
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


async def test_all_that_wait_are_written_however_many_they_are(database: Database) -> None:
    written = await asyncio.wait_for(
        asyncio.gather(*(database.write_in_turn(_keep, number) for number in range(MANY))), 30
    )
    assert written == list(range(MANY)) == await database.read(_kept)


async def test_many_one_after_another_share_transactions_and_a_few_have_their_own(database: Database) -> None:
    statements = await _traced(database)

    def transactions() -> int:
        return sum(statement.lower().startswith("begin") for statement in statements)

    for number in range(AT_ONCE):
        await database.write_in_turn(_keep, number)
    assert transactions() == AT_ONCE
    waiting = [asyncio.create_task(database.write_in_turn(_keep, number)) for number in range(AT_ONCE, MANY // 3)]
    await asyncio.gather(*waiting)
    assert transactions() <= AT_ONCE + 2


async def test_a_change_that_does_not_wait_takes_along_those_that_do(database: Database) -> None:
    for number in range(AT_ONCE):
        await database.write_in_turn(_keep, number)
    waiting = [asyncio.create_task(database.write_in_turn(_keep, AT_ONCE + number)) for number in range(3)]
    await asyncio.sleep(0)
    statements = await _traced(database)
    assert await asyncio.gather(*waiting) == [AT_ONCE, AT_ONCE + 1, AT_ONCE + 2]
    assert not any(statement.lower().startswith("begin") for statement in statements), "they came along"


async def test_what_is_refused_of_one_is_that_ones_alone(database: Database) -> None:
    answers = await asyncio.gather(
        *(database.write_in_turn(_keep, number) for number in (1, -1, 2)), return_exceptions=True
    )
    assert [str(answer) for answer in answers] == ["1", "less than nothing", "2"]
    assert await database.read(_kept) == [1, 2]


async def test_what_waits_when_the_records_are_closed_is_written_first(tmp_path: Path) -> None:
    database = Database(tmp_path / "records.db")
    await database.write(_make)
    tasks = [asyncio.create_task(database.write_in_turn(_keep, number)) for number in range(MANY)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10) == list(range(MANY))
    reopened = Database(tmp_path / "records.db")
    assert await reopened.read(_kept) == list(range(MANY))
    await reopened.close()


async def test_who_stops_waiting_is_not_written_and_holds_up_nobody(database: Database) -> None:
    for number in range(AT_ONCE):
        await database.write_in_turn(_keep, number)
    gone, stays = [asyncio.create_task(database.write_in_turn(_keep, 100 + number)) for number in range(2)]
    await asyncio.sleep(0)
    gone.cancel()
    assert await asyncio.wait_for(stays, 10) == 101
    assert 100 not in await database.read(_kept)
