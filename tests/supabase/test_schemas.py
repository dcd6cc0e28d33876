"""`supabase/schemas` declares what `supabase/migrations` result in: the catalogs of two databases are the same.

They may differ in one thing, the order of a table's columns. A migration can only add a column behind those that are
there, while the declared table has it where a reader looks for it. So columns are compared by name, and nothing in
Darkroom may depend on their order.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import unified_diff

import psycopg
import pytest

from tests.support.supabase.catalogs import DECLARED, Schema, database, declare, migrate, schema
from tests.support.supabase.project import SCHEMAS, Project
from tests.support.supabase.tenants import FUNCTIONS, TABLES

LONGEST_FILE = 300
TEXT = "\n".join(file.read_text("utf-8") for file in DECLARED)

Differences = Mapping[tuple[str, str], tuple[str, str]]
"""By kind and name: the definition after the migrations and the declared one; empty where it is missing."""


def differences(expected: Schema, declared: Schema) -> Differences:
    pairs = {
        (kind, name): (expected[kind].get(name, ""), declared[kind].get(name, ""))
        for kind in expected
        for name in expected[kind].keys() | declared[kind].keys()
    }
    return {what: (one, other) for what, (one, other) in pairs.items() if one != other}


def explain(found: Differences) -> str:
    """What differs, for whoever changed one of the two and forgot the other."""
    return "\n".join(
        line
        for (kind, name), (one, other) in sorted(found.items())
        for line in (
            f"{kind}: {name}",
            *unified_diff(one.splitlines(), other.splitlines(), "migrations", "schemas", lineterm="", n=1),
        )
    )


@contextmanager
def both(project: Project, *, exposed: bool) -> Iterator[tuple[Schema, psycopg.Connection]]:
    """The schema after the migrations, and a database with the declared schema, in which no migration ran."""
    with database(project, exposed=exposed) as db:
        migrate(db)
        expected = schema(db)
    with database(project, exposed=exposed) as db:
        declare(db)
        yield expected, db


@pytest.mark.parametrize("exposed", [True, False], ids=["exposed", "unexposed"])
def test_the_declared_schema_is_what_the_migrations_result_in(migrated: Project, exposed: bool) -> None:
    """Where a project opens what is made in it, a missing `revoke` shows; where it does not, a missing `grant`."""
    with both(migrated, exposed=exposed) as (expected, db):
        declared = schema(db)
    assert not differences(expected, declared), explain(differences(expected, declared))
    assert set(TABLES) <= declared["tables"].keys()
    assert {name.partition("(")[0] for name in declared["functions"]} == set(FUNCTIONS)


def test_every_function_is_declared_once() -> None:
    """`or replace` would let the second of two definitions win, and an overloaded name confuses PostgREST."""
    declared = re.findall(r"(?i)create\s+(?:or\s+replace\s+)?function\s+(?:public\.)?(\w+)", TEXT)
    assert [name for name, times in Counter(declared).items() if times > 1] == []
    assert sorted(declared) == FUNCTIONS


def test_no_other_object_can_be_declared_twice_unnoticed() -> None:
    """Without these words PostgreSQL refuses a second table, index, policy or trigger of a name."""
    assert re.findall(r"(?im)\bif\s+(?:not\s+)?exists\s+\w+|or\s+replace\s+(?!function)\w+|^drop\b.*", TEXT) == []


def test_every_file_of_the_declared_schema_is_read_and_short() -> None:
    assert [path for path in sorted(SCHEMAS.rglob("*")) if not path.is_dir()] == DECLARED
    assert [file.name for file in DECLARED if not re.fullmatch(r"\d\d_[a-z_]+\.sql", file.name)] == []
    assert [file.name for file in DECLARED if len(file.read_text("utf-8").splitlines()) > LONGEST_FILE] == []


def changed_function(name: str, old: str, new: str) -> str:
    """A statement that makes the function anew with one place of its definition changed; fails where there is none."""
    return (
        f"do $change$ declare v_old text := pg_get_functiondef('{name}'::regproc); v_new text := replace(v_old,"
        f" $old${old}$old$, $new${new}$new$); begin assert v_old <> v_new; execute v_new; end $change$"
    )


SETTLE = "darkroom_settle(uuid,integer,integer,text,boolean)"
GRANT = "darkroom_grant(uuid,integer,text)"

CHANGES = {
    "a body": (changed_function("darkroom_settle", "'call_ids'", "'calls'"), "functions", SETTLE),
    "a comment in a body": (changed_function("darkroom_settle", "-- Settlements", "-- All"), "functions", SETTLE),
    "a volatility": (f"alter function {SETTLE} stable", "functions", SETTLE),
    "a security definer": (f"alter function {SETTLE} security invoker", "functions", SETTLE),
    "a search path": (f"alter function {SETTLE} reset search_path", "functions", SETTLE),
    "a function's owner": (f"alter function {SETTLE} owner to service_role", "functions", SETTLE),
    "a grant of a function": (f"grant execute on function {GRANT} to anon", "rights on functions", GRANT),
    "a missing grant of a function": (
        f"revoke execute on function {GRANT} from service_role",
        "rights on functions",
        GRANT,
    ),
    "a missing grant": ("revoke select on quel_attach from authenticated", "rights on tables", "quel_attach"),
    "a grant option": (
        "grant select on quel_attach to authenticated with grant option",
        "rights on tables",
        "quel_attach",
    ),
    "a grant of a sequence": (
        "grant usage on sequence quel_credits_id_seq to public",
        "rights on sequences",
        "quel_credits_id_seq",
    ),
    "a grant of a column": (
        "grant insert (unit_price) on quel_production_jobs to authenticated",
        "rights on columns",
        "quel_production_jobs.unit_price",
    ),
    "a missing index": ("drop index quel_attach_member", "indexes", "quel_attach_member"),
    "an index's condition": (
        "drop index quel_attach_waiting; create index quel_attach_waiting on quel_attach (job_id, stage_index, ordinal)"
        " where delivered_at is null",
        "indexes",
        "quel_attach_waiting",
    ),
    "a policy's condition": (
        "alter policy darkroom_read_own on quel_credits using (true)",
        "policies",
        "quel_credits.darkroom_read_own",
    ),
    "a missing policy": (
        "drop policy darkroom_only_own on quel_attach",
        "policies",
        "quel_attach.darkroom_only_own",
    ),
    "row-level security": ("alter table quel_api_keys disable row level security", "tables", "quel_api_keys"),
    "forced row-level security": ("alter table quel_api_keys force row level security", "tables", "quel_api_keys"),
    "a default": (
        "alter table quel_production_jobs alter priority set default 2",
        "columns",
        "quel_production_jobs.priority",
    ),
    "a column's type": ("alter table quel_books alter base_path type varchar(9)", "columns", "quel_books.base_path"),
    "an identity": (
        "alter table quel_generation_attempts alter attempt_id set generated by default",
        "columns",
        "quel_generation_attempts.attempt_id",
    ),
    "a sequence": ("alter sequence quel_credits_id_seq increment 2", "sequences", "quel_credits_id_seq"),
    "a check": (
        "alter table quel_credit_holds drop constraint quel_credit_holds_amount_check,"
        " add constraint quel_credit_holds_amount_check check (amount > 0)",
        "constraints",
        "quel_credit_holds.quel_credit_holds_amount_check",
    ),
    "a trigger that is off": (
        "alter table quel_member disable trigger darkroom_opening_balance",
        "triggers",
        "quel_member.darkroom_opening_balance",
    ),
    "a missing trigger": (
        "drop trigger darkroom_opening_balance on quel_member",
        "triggers",
        "quel_member.darkroom_opening_balance",
    ),
    "a rule": ("create rule none as on delete to quel_books do instead nothing", "rules", "quel_books.none"),
    "a publication of another table": (
        "alter publication supabase_realtime add table quel_attach",
        "published",
        "quel_attach in supabase_realtime",
    ),
    "a publication of fewer columns": (
        "alter publication supabase_realtime set table quel_production_jobs (job_id)",
        "published",
        "quel_production_jobs in supabase_realtime",
    ),
    "a comment on a column": (
        "comment on column quel_books.book_id is 'x'",
        "comments",
        "column book_id of table quel_books",
    ),
    "a type": ("create type colour as enum ('red')", "types", "colour"),
    "a right by default": (
        "alter default privileges in schema public grant truncate on tables to public",
        "rights by default",
        "r of postgres in public",
    ),
    "an object of another kind": ('create collation plain from "C"', "objects", "collation plain"),
}


@pytest.fixture(scope="module")
def compared(migrated: Project) -> Iterator[tuple[Schema, psycopg.Connection]]:
    with both(migrated, exposed=True) as pair:
        yield pair


@pytest.mark.parametrize("change", CHANGES)
def test_the_comparison_notices(compared: tuple[Schema, psycopg.Connection], change: str) -> None:
    expected, db = compared
    statement, kind, name = CHANGES[change]
    with db.transaction(force_rollback=True):
        db.execute(statement.encode())
        assert (kind, name) in differences(expected, schema(db))
    assert not differences(expected, schema(db))
