"""What `doctor --database` reads of a PostgreSQL database: whether its tables can be adopted, and who reaches them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.deployment import MIGRATIONS
from cli.statuses import InputRejected
from darkroom.domain.findings import Finding

if TYPE_CHECKING:
    import psycopg

TABLES, ACCESS = "tables", "access"
_PATIENCE = 10
"""Seconds until a server that does not answer is given up."""

_SHAPE = re.compile(r"-- shape: begin\n(.*?)-- shape: end", re.DOTALL)
_THERE = """
select class.relname from pg_catalog.pg_class as class
where class.relnamespace = 'public'::pg_catalog.regnamespace and class.relname like 'quel\\_%'
  and class.relkind in ('r', 'p')
order by 1
"""
_REACHED = """
select class.relname, class.relrowsecurity, role.rolname, array_agg(right_name order by place)
from pg_catalog.pg_class as class
cross join pg_catalog.pg_roles as role
cross join unnest('{select,insert,update,delete}'::text[]) with ordinality as rights (right_name, place)
where class.relnamespace = 'public'::pg_catalog.regnamespace and class.relname like 'quel\\_%'
  and class.relkind in ('r', 'p')
  and role.rolname in ('anon', 'authenticated')
  and (pg_catalog.has_table_privilege(role.oid, class.oid, right_name)
    or (right_name <> 'delete' and pg_catalog.has_any_column_privilege(role.oid, class.oid, right_name)))
group by 1, 2, 3 order by 1, 3
"""


def shape_query() -> str:
    """The query that the first migration asks before it changes anything."""
    first = min(MIGRATIONS.glob("*.sql")).read_text("utf-8")
    found = _SHAPE.search(first)
    assert found is not None, "the first migration has no marks around its query"
    return found[1]


def examine_database(url: str) -> list[Finding]:
    """Findings for columns that cannot be adopted, and for tables that a browser's key reaches; changes nothing.

    Raises:
        InputRejected: no database answers at the URL, or the driver is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 - only those who look at a database by its address have it
    except ImportError:
        raise InputRejected("--database", "needs the package psycopg; pip install 'darkroom[database]'") from None
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=_PATIENCE) as db, db.transaction():
            # Of the transaction, not of the session: a pooler hands the session on to others.
            db.execute("set transaction read only")
            return [*_tables(db), *_access(db)]
    except psycopg.Error as error:
        # What the driver says may quote the address, and with it the password.
        code = f" ({error.sqlstate})" if error.sqlstate else ""
        remedy = "check postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise InputRejected("--database", f"no database answers there{code}; {remedy}") from None


def _tables(db: "psycopg.Connection") -> Sequence[Finding]:
    there = [name for (name,) in db.execute(_THERE)]
    faults = db.execute(shape_query().encode()).fetchall()
    if faults:
        return [
            Finding.wrong(f"{table}.{column}", f"cannot be adopted: found {found}", f"needed {needed}")
            for _, table, column, found, needed in sorted(faults)
        ]
    if not there:
        return [Finding.good(TABLES, "there are none yet; the migrations make them")]
    return [Finding.good(TABLES, f"can be adopted: {', '.join(there)}")]


def _access(db: "psycopg.Connection") -> Sequence[Finding]:
    reached = db.execute(_REACHED).fetchall()
    if not reached:
        return [Finding.good(ACCESS, "anon and authenticated reach no table")]
    return [
        Finding.good(ACCESS, f"{role} may {', '.join(rights)} in {table}, as far as its policies allow")
        if guarded
        else Finding.unknown(ACCESS, f"{role} may {', '.join(rights)} in every row of {table}: no row-level security")
        for table, guarded, role, rights in reached
    ]
