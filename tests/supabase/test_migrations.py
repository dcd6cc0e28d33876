"""Migrations on an empty project and on databases of before Darkroom and of its first versions; twice, interrupted."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
import pytest

from darkroom.records.supabase import SCHEMA_VERSION
from tests.support.supabase.catalogs import (
    BEFORE,
    FILES,
    Schema,
    database,
    migrate,
    migrate_after,
    migrate_as_before,
    rows,
    schema,
    statements,
)
from tests.support.supabase.project import Project, run_file

Rows = dict[str, list[dict[str, object]]]

ADOPTION = "20261127140000_adoption.sql"


@dataclass(frozen=True)
class Adopted:
    """A database of before Darkroom, before and after its migration."""

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


def prepare(db: psycopg.Connection, before: str) -> None:
    """Make a database of before Darkroom; `empty` is one, too."""
    for file in BEFORE.get(before, ()):
        run_file(db, file)


@pytest.fixture(scope="module", params=["described", pytest.param("variant", marks=pytest.mark.slow)])
def before(request: pytest.FixtureRequest) -> str:
    """A kind of database of before Darkroom."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def adopted(migrated: Project, before: str) -> Iterator[Adopted]:
    with database(migrated) as db:
        prepare(db, before)
        found = schema(db), dict(rows(db)), files(db)
        migrate(db)
        yield Adopted(*found, schema(db), dict(rows(db)), files(db))


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
        assert len(before) > 5
    assert {table: adopted.files[table] for table in adopted.files_before} == adopted.files_before


def test_the_schema_of_before_is_still_there(adopted: Adopted) -> None:
    """Nothing dropped and nothing altered: row-level security, policies, grants, defaults and triggers included."""
    for part, there in adopted.schema_before.items():
        for name, definition in there.items():
            assert adopted.schema[part].get(name) == definition, f"{part}: {name}"


def test_tables_of_before_get_columns_indexes_and_triggers_and_nothing_else(adopted: Adopted) -> None:
    of_before = set(adopted.schema_before["tables"])
    for part in set(adopted.schema) - {"columns", "indexes", "triggers", "objects", "published"}:
        ours = set(adopted.schema[part]) - set(adopted.schema_before[part])
        found = {name for name in ours if name.partition(".")[0] in of_before and not re.search("_not_null$", name)}
        assert found == set(), part
    triggers = set(adopted.schema["triggers"]) - set(adopted.schema_before["triggers"])
    assert {name for name in triggers if ".darkroom_" not in name} == set()


def test_the_opening_balance_is_what_the_journal_does_not_explain(adopted: Adopted) -> None:
    for member in adopted.rows["quel_member"]:
        journal = [
            row
            for row in adopted.rows["quel_credits"]
            if row["user_id"] == member["quel_member_id"] and row["org_id"] is None
        ]
        explained = sum(int(str(row["amount"])) for row in journal)
        balance = int(str(member["quel_member_credit"] or 0))
        assert member["opening_balance"] == balance - explained
    assert any(row["opening_balance"] != row["quel_member_credit"] for row in adopted.rows["quel_member"])


def test_what_is_ours_is_the_same_on_an_empty_project(adopted: Adopted, empty: Schema) -> None:
    before = adopted.schema_before
    tables = set(before["tables"])
    for part in set(empty) - {"objects"}:
        theirs = set(before[part])
        ours = {name: value for name, value in adopted.schema[part].items() if name not in theirs}
        for name, definition in ours.items():
            assert _without_casts(empty[part].get(name, "")) == _without_casts(definition), f"{part}: {name}"
        missing = {name for name in set(empty[part]) - set(ours) - theirs if name.partition(".")[0] not in tables}
        # An empty project makes the keys of tables that the other one has already, and their sequences.
        left_out = {name for name in missing if re.match("quel_(attach|credits)_.*_seq|quel_.*_pkey", name)}
        assert missing - left_out == set(), part


def _without_casts(definition: str) -> str:
    """A definition without what PostgreSQL adds for the type that a column of before has."""
    return re.sub(r"::(text|character varying|\w+_enum)(\[\])?|[()]", "", definition)


@pytest.mark.parametrize("newest", ["20261121110000_statistics.sql", "20261126090000_calls_of_their_own.sql", ADOPTION])
def test_databases_of_earlier_versions_become_equal_to_new_ones(migrated: Project, empty: Schema, newest: str) -> None:
    """Of 0.1, of 0.2 and of the last migration before this one: with the names of then, and rows in every table."""
    applied = max(file.name for file in FILES if file.name <= newest and file.name != ADOPTION)
    with database(migrated) as db:
        migrate_as_before(db, applied)
        db.execute(ROWS_OF_0_1)
        kept = dict(rows(db))
        migrate_after(db, applied)
        assert schema(db) == empty
        assert {name for (name,) in db.execute("select table_name from quel_adopted_tables")} == set()
        after = dict(rows(db))
    for table, rows_before in kept.items():
        names = {"quel_member_id": "user_id"} if table == "quel_credits" else {}
        # A row of each; the columns may stand in another order.
        for row, found in zip(rows_before, after[table], strict=True):
            renamed = {names.get(name, name): value for name, value in row.items()}
            assert {name: value for name, value in found.items() if name in renamed} == renamed, table


ROWS_OF_0_1 = """
insert into quel_member (quel_member_id, quel_member_credit) values (md5('member')::uuid, 980);
insert into quel_production_photo (production_id, quel_member_id) values (md5('p')::uuid, md5('member')::uuid);
insert into quel_production_jobs (job_id, job_type, job_status, quel_member_id, production_id, job_input_data,
  current_run_id, unit_price, total_images, completed_images, generated_attach_ids)
  values (md5('job')::uuid, 'pipeline_stage', 'completed', md5('member')::uuid, md5('p')::uuid, '{}', 'run', 20, 1, 1,
    '[1]');
insert into quel_job_stages (job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images,
  delivered_images) values (md5('job')::uuid, 0, 'l', 'p', 1, 1, '1:1', '[]', 1);
insert into quel_job_runs (run_id, job_id, started_at, opened_at, closed_at)
  values ('run', md5('job')::uuid, now(), now(), now());
insert into quel_credit_holds (job_id, quel_member_id, amount, released_at)
  values (md5('job')::uuid, md5('member')::uuid, 0, now());
insert into quel_generation_attempts (call_id, job_id, stage_index, ordinal, run_id, round, provider, outcome,
  started_at) values (md5('call')::uuid, md5('job')::uuid, 0, 0, 'run', 0, 'offline', 'generated', now());
insert into quel_attach (job_id, stage_index, ordinal, quel_member_id, attach_file_path, delivered_at)
  values (md5('job')::uuid, 0, 0, md5('member')::uuid, 'path', now());
insert into quel_credits (quel_member_id, transaction_type, amount, balance_after, attach_idx, job_id, idempotency_key)
  values (md5('member')::uuid, 'DEDUCT', -20, 980, 1, md5('job')::uuid, md5('job')::uuid || '/0/0');
"""


@pytest.mark.parametrize("kind", ["empty", *BEFORE])
def test_migrating_again_changes_nothing(migrated: Project, kind: str) -> None:
    with database(migrated) as db:
        prepare(db, kind)
        migrate(db)
        once = schema(db), rows(db), files(db)
        for _ in range(2):
            migrate(db)
            assert (schema(db), rows(db), files(db)) == once


def test_a_migration_that_was_interrupted_anywhere_can_be_run_again(
    migrated: Project, before: str, adopted: Adopted
) -> None:
    """Statement by statement, as `psql -f` does it without a transaction, and broken off in the middle of each file."""
    with database(migrated) as db:
        prepare(db, before)
        for file in FILES:
            whole = statements(file)
            for statement in whole[: len(whole) // 2]:
                db.execute(statement.encode())
            for again in FILES[: FILES.index(file) + 1]:
                for statement in statements(again):
                    db.execute(statement.encode())
        assert schema(db) == adopted.schema
        assert rows(db) == adopted.rows


@pytest.mark.parametrize("kind", ["empty", *BEFORE])
def test_nothing_of_ours_is_open_between_two_files(migrated: Project, kind: str) -> None:
    """A migration that stops half-way leaves functions that grant credits; nobody may call one in the meantime."""
    open_functions = (
        "select count(*) from pg_proc, unnest(array['anon', 'authenticated']) as caller"
        " where proname like 'darkroom\\_%' and prorettype <> 'trigger'::regtype"
        " and has_function_privilege(caller, pg_proc.oid, 'execute')"
    )
    open_tables = (
        "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
        " and (not relrowsecurity or has_table_privilege('anon', oid, 'select, insert, update, delete, truncate'))"
        " and relname not in (select table_name from quel_adopted_tables)"
    )
    with database(migrated) as db:
        prepare(db, kind)
        for file in FILES:
            with db.transaction():
                run_file(db, file)
            assert db.execute(open_functions).fetchone() == (0,), file.name
            assert db.execute(open_tables).fetchone() == (0,), file.name


def test_two_who_migrate_at_once_leave_one_whole_schema(migrated: Project, before: str, adopted: Adopted) -> None:
    for _ in range(3):
        with database(migrated) as db:
            prepare(db, before)
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
        "drop constraint known_states, alter column job_id drop default",
        "alter column job_status drop default, drop constraint known_states,"
        " alter column job_status type text using job_status::text, drop column total_images, drop column retry_count",
    ],
)
def test_tables_of_before_may_lack_columns_and_defaults(migrated: Project, change: str) -> None:
    """No row of before is taken for a new one, and a new one is."""
    with database(migrated) as db:
        prepare(db, "described")
        db.execute(f"alter table quel_production_jobs {change}".encode())
        migrate(db)
        waiting = "select jsonb_array_length(darkroom_unfinished_jobs(true, null, null, 1000))"
        assert db.execute(waiting).fetchone() == (0,)
        db.execute(INSERT_JOB)
        assert db.execute(waiting).fetchone() == (1,)


INSERT_JOB = """
insert into quel_production_jobs (job_id, production_id, job_type, job_status, batch_index, total_images,
  quel_member_id, job_input_data)
values (gen_random_uuid(), '00000000-0000-0000-0001-000000000001', 'simple_general', 'pending', 0, 1,
  '00000000-0000-0000-0000-000000000001', '{}')
"""


def test_triggers_that_were_off_stay_off(migrated: Project) -> None:
    with database(migrated) as db:
        prepare(db, "described")
        db.execute("create trigger asleep before update on quel_member for each row execute function touch_member()")
        db.execute("alter table quel_member disable trigger asleep")
        migrate(db)
        states = (
            "select tgname, tgenabled::text from pg_trigger"
            " where tgrelid = 'quel_member'::regclass and not tgisinternal"
        )
        expected = {"asleep": "D", "touch": "O", "darkroom_are_ours": "O", "darkroom_opening_balance": "O"}
        assert dict(db.execute(states).fetchall()) == expected
