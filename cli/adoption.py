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
_ADDRESS = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_PATIENCE = 10
"""Seconds until a server that does not answer is given up."""

_SHAPE = re.compile(r"-- shape: begin\n(.*?)-- shape: end", re.DOTALL)
_THERE = """
select class.relname from pg_catalog.pg_class as class
where class.relnamespace = 'public'::pg_catalog.regnamespace and class.relname like 'quel\\_%'
  and class.relkind in ('r', 'p')
order by 1
"""
_WORDLESS = """
with wanted (place, "table", "column", candidates, told) as (values
  (1, 'quel_production_jobs', 'job_status', '{cancelled,user_cancelled}'::text[],
    'takes neither cancelled nor user_cancelled: the row of a cancelled job says failed, and why'),
  (2, 'quel_production_photo', 'production_status', '{cancelled,user_cancelled}',
    'takes neither cancelled nor user_cancelled: it stays as it is when a job is cancelled'),
  (3, 'quel_credits', 'transaction_type', '{GRANT,purchase}',
    'takes neither GRANT nor purchase: darkroom credits grant cannot be used')
)
select "table", "column", told from wanted
join pg_catalog.pg_class as class on class.relname = "table"
  and class.relnamespace = 'public'::pg_catalog.regnamespace
join pg_catalog.pg_attribute as attribute on attribute.attrelid = class.oid and attname = "column" and not attisdropped
join pg_catalog.pg_type as type on type.oid = atttypid
where not exists (
  select from unnest(candidates) as word
  where (typtype <> 'e' or exists (
      select from pg_catalog.pg_enum as label where label.enumtypid = type.oid and label.enumlabel = word))
    and not exists (
      select from pg_catalog.pg_constraint as rule
      where rule.conrelid = class.oid and rule.contype = 'c' and rule.conkey = array[attnum]
        and pg_catalog.pg_get_constraintdef(rule.oid) ~ $pattern$= ANY|= '$pattern$
        and strpos(pg_catalog.pg_get_constraintdef(rule.oid), quote_literal(word)) = 0))
order by place
"""
"""As `darkroom_learn_words` chooses them."""
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
        InputRejected: the URL is none, no database answers there or lets the user in, its catalog may not be read, or
            the driver is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 - only those who look at a database by its address have it
    except ImportError:
        raise InputRejected("--database", "needs the package psycopg; pip install 'darkroom[database]'") from None
    # What the driver says may quote the address, and with it the password.
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=_PATIENCE)
    except psycopg.ProgrammingError:
        raise InputRejected("--database", f"is not the address of a database; write {_ADDRESS}") from None
    except psycopg.Error:
        reason = f"no database answers there, or it refuses the user; check {_ADDRESS} and that it runs"
        raise InputRejected("--database", reason) from None
    try:
        with connection as db, db.transaction():
            # Of the transaction, not of the session: a pooler hands the session on to others.
            db.execute("set transaction read only")
            return [*_tables(db), *_access(db)]
    except psycopg.errors.InsufficientPrivilege as error:
        reason = (
            f"the user may not read the catalog of this database ({error.sqlstate}); connect as the owner of its tables"
        )
        raise InputRejected("--database", reason) from None
    except psycopg.Error as error:
        if error.sqlstate is None or connection.broken:
            reason = "the database ended the connection before it had answered; try again when it runs"
        else:
            reason = f"the database cannot be examined (SQLSTATE {error.sqlstate}); see its log"
        raise InputRejected("--database", reason) from None


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
    wordless = db.execute(_WORDLESS).fetchall()
    return [
        Finding.good(TABLES, f"can be adopted: {', '.join(there)}"),
        *(Finding.good(f"{table}.{column}", told) for table, column, told in wordless),
    ]


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
