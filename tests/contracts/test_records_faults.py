"""Which faults of a database pass, and which end the job: over both adapters, met on real databases."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from darkroom.domain.errors import RecordsRefused, RecordsUnavailable
from darkroom.records.faults import Fault, fault_of
from darkroom.records.sqlite import SqliteRecords
from tests.support.records.fixture import RecordsFixture

PASSING = {
    "08006": "connection failure",
    "08P01": "protocol violation",
    "40001": "could not serialize access due to concurrent update",
    "40P01": "deadlock detected",
    "53100": "could not extend file: No space left on device",
    "53200": "out of memory",
    "53300": "sorry, too many clients already",
    "55P03": "canceling statement due to lock timeout",
    "57014": "canceling statement due to statement timeout",
    "57P01": "terminating connection due to administrator command",
    "57P03": "the database system is starting up",
    "58030": "could not read block",
    "25006": "cannot execute UPDATE in a read-only transaction",
    "PGRST000": "Could not connect with the database",
    "PGRST001": "Could not connect with the database due to an internal error",
    "PGRST002": "Could not query the database for the schema cache. Retrying.",
    "PGRST003": "Timed out acquiring connection from connection pool.",
    "408": "JSON could not be generated",
    "429": "Too many requests",
    "500": "JSON could not be generated",
    "502": "<html>Bad Gateway</html>",
    "503": "JSON could not be generated",
    "540": "Project paused",
    "": "no Route matched with those values",
}
UNKNOWN = {
    "23502": 'null value in column "round" violates not-null constraint',
    "23503": "insert or update on table violates foreign key constraint",
    "23505": "duplicate key value violates unique constraint",
    "23514": "new row violates check constraint",
    "22P02": 'invalid input value for enum job_status: "cancelled"',
    "22003": "integer out of range",
    "22023": "cannot call jsonb_to_recordset on a scalar",
    "42501": "permission denied for table quel_orders",
    "42703": 'column "model" does not exist',
    "42883": "function public.front_end_check(uuid) does not exist",
    "42P01": 'relation "public.quel_orders" does not exist',
    "P0001": "raised by a trigger of the front end",
    "XX000": "cache lookup failed",
    "PGRST102": "Error in $: not enough input",
    "413": "<html>Request Entity Too Large</html>",
}
FOR_THE_OPERATOR = {
    "401": Fault.WRONG_KEY,
    "403": Fault.WRONG_KEY,
    "PGRST301": Fault.WRONG_KEY,
    "PGRST202": Fault.NOT_MIGRATED,
    "PGRST205": Fault.NOT_MIGRATED,
    "404": Fault.NOT_MIGRATED,
}


def test_what_passes_what_an_operator_mends_and_what_is_unknown() -> None:
    assert {code for code, message in PASSING.items() if fault_of(code, message) is not Fault.PASSING} == set()
    assert {code for code, message in UNKNOWN.items() if fault_of(code, message) is not Fault.UNKNOWN} == set()
    assert {code: fault_of(code, "") for code in FOR_THE_OPERATOR} == FOR_THE_OPERATOR
    assert fault_of("42501", "permission denied for function darkroom_begin_attempt") is Fault.WRONG_KEY


@asynccontextmanager
async def changed(fixture: RecordsFixture, change: str, back: str) -> AsyncIterator[None]:
    """The schema as somebody has changed it."""
    await fixture.tables.plant(change)
    yield
    await fixture.tables.plant(back)


async def test_a_broken_constraint_is_final_and_nothing_of_the_change_is_kept(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await job.begin(0)
    index = "create unique index one_each on quel_generation_attempts (job_id)", "drop index one_each"
    async with changed(fixture, *index):
        before = await fixture.dump()
        with pytest.raises(RecordsRefused, match=r"(?i)unique.*; retrying cannot help; fix the database, then restart"):
            await job.begin(1)
        assert await fixture.dump() == before
    await job.begin(1)
    await job.close()


async def test_an_undefined_column_is_final(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    away = "alter table quel_generation_attempts rename column round to was_round"
    async with changed(fixture, away, "alter table quel_generation_attempts rename column was_round to round"):
        with pytest.raises(RecordsRefused, match="round"):
            await job.begin(0)
    await job.begin(0)
    await job.close()


async def test_a_number_that_no_column_takes_is_final(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    with pytest.raises(RecordsRefused, match=r"(?i)integer"):
        await job.begin(2**64)
    await job.close()


@pytest.mark.parametrize(
    ("pragma", "remedy"),
    [
        ("query_only = 1", "check the disk's space and the file's permissions"),
        ("max_page_count = 1", "make room on it"),
    ],
)
async def test_a_full_or_read_only_sqlite_file_passes(pragma: str, remedy: str) -> None:
    records = SqliteRecords(":memory:")

    def restrict(db: sqlite3.Connection) -> None:
        db.execute(f"pragma {pragma}")

    await records._db.read(restrict)

    async def fill() -> None:
        for _ in range(100):
            await records.ensure_member(uuid4(), 1)

    with pytest.raises(RecordsUnavailable, match=remedy):
        await fill()
    await records.close()
