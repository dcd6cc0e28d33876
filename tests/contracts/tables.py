"""Tables behind a Records port: what a test reads and plants without asking the port."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from darkroom.records.sqlite import SqliteRecords

Row = dict[str, Any]
Dump = Mapping[str, Sequence[Row]]

TABLES = {
    "quel_member": "quel_member_id",
    "quel_credits": "id",
    "quel_credit_holds": "job_id",
    "quel_production_jobs": "job_id",
    "quel_production_photo": "production_id",
    "quel_job_stages": "job_id, stage_index",
    "quel_job_runs": "run_id",
    "quel_generation_attempts": "job_id, stage_index, ordinal, started_at, call_id",
    "quel_attach": "attach_id",
}


class Tables(Protocol):
    """One adapter's tables. Statements are plain SQL with `:name` values; UUIDs are given as text."""

    async def dump(self) -> Dump:
        """Every row of every table, in a stable order; JSON columns as what they hold."""
        ...

    async def plant(self, statement: str, **values: object) -> None:
        """Change rows behind the port's back, checks of single columns left out."""
        ...


def _readable(row: sqlite3.Row) -> Row:
    found = dict(row)
    for column in ("attach_ids", "generated_attach_ids"):
        if column in found:
            found[column] = json.loads(found[column])
    return found


def dump_sqlite(db: sqlite3.Connection) -> Dump:
    """All tables of an open SQLite database."""
    return {
        table: [_readable(row) for row in db.execute(f"select * from {table} order by {order}")]
        for table, order in TABLES.items()
    }


def dump_file(path: Path) -> Dump:
    """All tables of a SQLite file, read by a connection of our own."""
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    try:
        return dump_sqlite(db)
    finally:
        db.close()


class SqliteTables:
    """The tables of a SqliteRecords, through its own connection, which is the only one `:memory:` has."""

    def __init__(self, records: SqliteRecords) -> None:
        self._db = records._db

    async def dump(self) -> Dump:
        return await self._db.read(dump_sqlite)

    async def plant(self, statement: str, **values: object) -> None:
        def change(db: sqlite3.Connection) -> None:
            db.execute("pragma ignore_check_constraints = on")
            try:
                db.execute(statement, values)
            finally:
                db.execute("pragma ignore_check_constraints = off")

        await self._db.write(change)
