"""Tables behind a Records port: what a test reads and plants without asking the port."""

import re
import sqlite3
from typing import Protocol

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from darkroom.proof.tables import TABLES, Dump, dump_sqlite
from darkroom.records.sqlite import SqliteRecords


class Tables(Protocol):
    """One adapter's tables. Statements are plain SQL with `:name` values; UUIDs are given as text."""

    async def dump(self) -> Dump:
        """Every row of every table, in a stable order; JSON columns as what they hold."""
        ...

    async def plant(self, statement: str, **values: object) -> None:
        """Change rows behind the port's back, checks of single columns left out."""
        ...

    async def change(self, statement: str, **values: object) -> None:
        """Change rows as another program with the same tables would: under all checks."""
        ...

    async def word(self, column: str, word: str) -> str | None:
        """How a column of these tables says one of our words; None where it has none."""
        ...

    async def set_back_refresh(self, seconds: float) -> None:
        """Make every job's row look as if it had been refreshed so much earlier."""
        ...


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

    async def change(self, statement: str, **values: object) -> None:
        await self._db.write(lambda db: db.execute(statement, values).close())

    async def word(self, column: str, word: str) -> str | None:
        return word

    async def set_back_refresh(self, seconds: float) -> None:
        await self.plant("update quel_production_jobs set refreshed_at = refreshed_at - :seconds", seconds=seconds)


_CHECKS = """
select constrained.oid::regclass::text as "table", conname as name, pg_get_constraintdef(found.oid) as definition
from pg_constraint as found join pg_class as constrained on constrained.oid = conrelid
where contype = 'c' and connamespace = 'public'::regnamespace
"""


def _named(statement: str) -> bytes:
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", statement.replace("%", "%%")).encode()


class PostgresTables:
    """The tables of a Supabase project, through a superuser's connections."""

    def __init__(self, database_uri: str) -> None:
        self._uri = database_uri

    async def dump(self) -> Dump:
        async with await psycopg.AsyncConnection.connect(self._uri, row_factory=dict_row) as db:
            await db.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            found = {}
            for table, order in TABLES.items():
                # As JSON: ids and times as text, as in the other adapter's tables.
                query = sql.SQL("select to_jsonb(row) as row from {} as row order by " + order)
                rows = await (await db.execute(query.format(sql.Identifier(table)))).fetchall()
                found[table] = [row["row"] for row in rows]
            return found

    async def plant(self, statement: str, **values: object) -> None:
        async with await psycopg.AsyncConnection.connect(self._uri, row_factory=dict_row) as db:
            checks = await (await db.execute(_CHECKS)).fetchall()
            for check in checks:
                await db.execute(f"alter table {check['table']} drop constraint {check['name']}")
            await db.execute(_named(statement), values)
            for check in checks:
                definition = check["definition"].removesuffix(" NOT VALID")
                await db.execute(f"alter table {check['table']} add constraint {check['name']} {definition} not valid")

    async def change(self, statement: str, **values: object) -> None:
        async with await psycopg.AsyncConnection.connect(self._uri) as db:
            await db.execute(_named(statement), values)

    async def word(self, column: str, word: str) -> str | None:
        async with await psycopg.AsyncConnection.connect(self._uri) as db:
            learned = "select stored from quel_words where subject = %s and word = %s"
            found = await (await db.execute(learned, (column, word))).fetchone()
            return word if found is None else found[0]

    async def set_back_refresh(self, seconds: float) -> None:
        set_back = "update quel_production_jobs set refreshed_at = refreshed_at - make_interval(secs => :seconds)"
        await self.plant(set_back, seconds=seconds)
