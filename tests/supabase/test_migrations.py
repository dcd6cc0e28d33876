"""Migrations on an empty project, on one that was made by hand, twice, interrupted and two at once."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
import pytest

from darkroom.records.supabase import SCHEMA_VERSION
from tests.support.supabase.catalogs import EXISTING, FILES, Schema, database, migrate, rows, schema, statements
from tests.support.supabase.project import Project, run_file

Rows = dict[str, list[dict[str, object]]]


@dataclass(frozen=True)
class Adopted:
    """A database made by hand before and after its migration."""

    schema_before: Schema
    rows_before: Rows
    files_before: dict[str, int]
    schema: Schema
    rows: Rows
    files: dict[str, int]


def files(db: psycopg.Connection) -> dict[str, int]:
    """Where each table's rows lie: a table that is rewritten gets a new file."""
    query = "select relname, relfilenode from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
    return dict(db.execute(query).fetchall())


@pytest.fixture(scope="module")
def adopted(migrated: Project) -> Iterator[Adopted]:
    with database(migrated) as db:
        run_file(db, EXISTING)
        before = schema(db), dict(rows(db)), files(db)
        migrate(db)
        yield Adopted(*before, schema(db), dict(rows(db)), files(db))


@pytest.fixture(scope="module")
def empty(migrated: Project) -> Schema:
    with database(migrated) as db:
        migrate(db)
        return schema(db)


def test_names_and_versions_are_those_of_the_supabase_cli(migrated: Project) -> None:
    assert [file.name for file in FILES if not re.fullmatch(r"\d{14}_[a-z_]+\.sql", file.name)] == []
    with migrated.connect() as db:
        recorded = db.execute("select version from quel_schema_versions order by version").fetchall()
    assert [version for (version,) in recorded] == [file.name[:14] for file in FILES]
    assert FILES[-1].name.startswith(f"{SCHEMA_VERSION}_")


def test_every_value_of_before_is_still_there(adopted: Adopted) -> None:
    for table, before in adopted.rows_before.items():
        columns = set(before[0])
        kept = [{name: value for name, value in row.items() if name in columns} for row in adopted.rows[table]]
        assert sorted(map(str, kept)) == sorted(map(str, before)), table
        assert len(before) >= 20
    assert {table: adopted.files[table] for table in adopted.files_before} == adopted.files_before


def test_the_schema_of_before_is_still_there(adopted: Adopted) -> None:
    for part in ("tables", "constraints", "indexes", "triggers", "policies", "functions"):
        after = adopted.schema[part]
        for name, definition in adopted.schema_before[part].items():
            expected = definition.replace("r, row-level security f", "r, row-level security t")
            assert after[name] == expected, f"{part}: {name}"
    for name, definition in adopted.schema_before["columns"].items():
        assert adopted.schema["columns"][name] == definition, name


def test_the_opening_balance_is_what_the_journal_does_not_explain(adopted: Adopted) -> None:
    for member in adopted.rows["quel_member"]:
        journal = [row for row in adopted.rows["quel_credits"] if row["quel_member_id"] == member["quel_member_id"]]
        explained = sum(int(str(row["amount"])) for row in journal)
        balance = int(str(member["quel_member_credit"] or 0))
        assert member["opening_balance"] == balance - explained
    assert any(row["opening_balance"] != row["quel_member_credit"] for row in adopted.rows["quel_member"])


def test_what_is_ours_is_the_same_on_an_empty_project(adopted: Adopted, empty: Schema) -> None:
    before = adopted.schema_before
    for part in empty:
        ours = {name: value for name, value in adopted.schema[part].items() if name not in before[part]}
        for name, definition in ours.items():
            assert _without_casts(empty[part][name]) == _without_casts(definition), f"{part}: {name}"
        of_before = set(before["tables"]) if part in ("rights on tables", "tables") else set(before[part])
        missing = {name for name in set(empty[part]) - set(ours) - of_before if not name.split(".")[0].endswith("_seq")}
        # An empty project makes the constraints of tables that the other one has already.
        assert {name for name in missing if part not in ("constraints", "indexes", "tables")} == set(), part
    for part in ("policies", "rights on tables", "rights on columns", "published"):
        for name, definition in empty[part].items():
            assert _without_casts(adopted.schema[part][name]) == _without_casts(definition), f"{part}: {name}"


def _without_casts(definition: str) -> str:
    """A definition without what PostgreSQL adds where a column of before is `varchar`."""
    return re.sub(r"::(text|character varying)(\[\])?|[()]", "", definition)


@pytest.mark.parametrize("existing", [False, True], ids=["empty", "made by hand"])
def test_migrating_again_changes_nothing(migrated: Project, existing: bool) -> None:
    with database(migrated) as db:
        if existing:
            run_file(db, EXISTING)
        migrate(db)
        once = schema(db), rows(db), files(db)
        for _ in range(2):
            migrate(db)
            assert (schema(db), rows(db), files(db)) == once


def test_a_migration_that_was_interrupted_anywhere_can_be_run_again(migrated: Project, adopted: Adopted) -> None:
    """Statement by statement, as `psql -f` does it without a transaction, and broken off in the middle of each file."""
    with database(migrated) as db:
        run_file(db, EXISTING)
        for file in FILES:
            whole = statements(file)
            for statement in whole[: len(whole) // 2]:
                db.execute(statement.encode())
            for again in FILES[: FILES.index(file) + 1]:
                for statement in statements(again):
                    db.execute(statement.encode())
        assert schema(db) == adopted.schema
        assert rows(db) == adopted.rows


@pytest.mark.parametrize("existing", [False, True], ids=["empty", "made by hand"])
def test_nothing_of_ours_is_open_between_two_files(migrated: Project, existing: bool) -> None:
    """A migration that stops half-way leaves functions that grant credits; nobody may call one in the meantime."""
    open_functions = (
        "select count(*) from pg_proc, unnest(array['anon', 'authenticated']) as caller"
        " where proname like 'darkroom\\_%' and prorettype <> 'trigger'::regtype"
        " and has_function_privilege(caller, pg_proc.oid, 'execute')"
    )
    open_tables = (
        "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
        " and (not relrowsecurity or has_table_privilege('anon', oid, 'select, insert, update, delete, truncate'))"
    )
    with database(migrated) as db:
        if existing:
            run_file(db, EXISTING)
        for file in FILES:
            with db.transaction():
                run_file(db, file)
            assert db.execute(open_functions).fetchone() == (0,), file.name
            assert db.execute(open_tables).fetchone() == (0,), file.name


def test_two_who_migrate_at_once_leave_one_whole_schema(migrated: Project, adopted: Adopted) -> None:
    for _ in range(3):
        with database(migrated) as db:
            run_file(db, EXISTING)
            uri = migrated.postgres.uri(database=db.info.dbname)

            def from_outside(_: int, uri: str = uri) -> None:
                with psycopg.connect(uri, autocommit=True) as own:
                    migrate(own)

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(from_outside, range(4)))
            assert schema(db) == adopted.schema
            assert rows(db) == adopted.rows


@pytest.mark.parametrize(
    "change",
    [
        "drop column created_at",
        "alter column created_at drop default",
        "alter column job_status drop default, drop constraint known_states, alter column job_id drop default",
        "alter column job_status type text, drop column total_images, drop column retry_count",
    ],
)
def test_tables_of_before_may_lack_columns_and_defaults(migrated: Project, change: str) -> None:
    """No row of before is taken for a new one, and a new one is."""
    with database(migrated) as db:
        run_file(db, EXISTING)
        db.execute(f"alter table quel_production_jobs {change}".encode())
        migrate(db)
        waiting = "select jsonb_array_length(darkroom_unfinished_jobs(true, null, null, 1000))"
        assert db.execute(waiting).fetchone() == (0,)
        columns = "job_type, job_status, quel_member_id, job_input_data"
        member = "00000000-0000-0000-0000-000000000001"
        db.execute(f"insert into quel_production_jobs ({columns}) values ('x', 'pending', '{member}', '{{}}')".encode())
        assert db.execute(waiting).fetchone() == (1,)


def test_triggers_that_were_off_stay_off(migrated: Project) -> None:
    with database(migrated) as db:
        run_file(db, EXISTING)
        db.execute("create trigger asleep before update on quel_member for each row execute function touch()")
        db.execute("alter table quel_member disable trigger asleep")
        migrate(db)
        states = (
            "select tgname, tgenabled::text from pg_trigger"
            " where tgrelid = 'quel_member'::regclass and not tgisinternal"
        )
        expected = {"asleep": "D", "touch": "O", "darkroom_opening_balance": "O"}
        assert dict(db.execute(states).fetchall()) == expected
