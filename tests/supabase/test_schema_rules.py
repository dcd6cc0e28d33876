"""What every table and function must have, asked of the catalog; and that Realtime hears of progress."""

import re
from uuid import uuid4

import pytest

from tests.support.supabase.catalogs import BEFORE, database, migrate
from tests.support.supabase.project import Project, run_file
from tests.support.supabase.tenants import FUNCTIONS, TABLES, VICTIM, plant


def column(project: Project, query: str) -> list[str]:
    with project.connect() as db:
        return sorted(str(value) for (value,) in db.execute(query.encode()).fetchall())


OURS = "from pg_proc where pronamespace = 'public'::regnamespace"


def test_every_function_is_executable_by_the_service_role_alone(migrated: Project) -> None:
    grantees = (
        "select distinct case grantee when 0 then 'everybody' else grantee::regrole::text end"
        " from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))"
        " where pronamespace = 'public'::regnamespace and grantee <> proowner"
    )
    assert column(migrated, grantees) == ["service_role"]
    may = f"select distinct proname {OURS} and has_function_privilege('service_role', oid, 'execute')"
    assert column(migrated, may) == FUNCTIONS


def test_every_function_looks_nothing_up_in_a_path(migrated: Project) -> None:
    without = f"""select proname {OURS} and not coalesce('search_path=""' = any (proconfig), false)"""
    assert column(migrated, without) == []
    assert len(column(migrated, f"select proname {OURS} and prosecdef")) > 30


def test_no_function_names_a_table_without_its_schema(migrated: Project) -> None:
    # The empty path would show it when the statement is run; this shows it before.
    for source in column(migrated, f"select prosrc {OURS}"):
        assert (
            re.findall(r"(?<![.\w])quel_(?:member|credits|attach|production_\w+|job_\w+|credit_holds)\s*\(", source)
            == []
        )
        assert re.findall(r"(?i)\b(?:from|join|update|into)\s+quel_", source) == []


def test_no_function_raises_what_postgrest_retries_for_ever(migrated: Project) -> None:
    for source in column(migrated, f"select prosrc {OURS}"):
        assert "40001" not in source
        assert "serialization_failure" not in source
        raised = re.findall(r"raise\s+(.*)", source)
        assert [words for words in raised if not re.match(r"sqlstate 'PT\d{3}' using message", words)] == []


def test_every_table_has_row_level_security(migrated: Project) -> None:
    guarded = "select relname from pg_class where relnamespace = 'public'::regnamespace and relrowsecurity"
    assert column(migrated, guarded) == TABLES


def test_every_foreign_key_can_be_followed_by_an_index(migrated: Project) -> None:
    without = """
        select conname from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace
        and not exists (select 1 from pg_index where indrelid = conrelid and indkey[0] = conkey[1])
    """
    assert column(migrated, without) == []


def test_realtime_is_told_of_progress_once(migrated: Project) -> None:
    published = "select tablename from pg_publication_tables where pubname = 'supabase_realtime'"
    assert column(migrated, published) == ["quel_production_jobs"]
    with database(migrated) as db:
        if db.execute("show wal_level").fetchone() != ("logical",):
            pytest.skip("this PostgreSQL writes no logical changes")
        migrate(db)
        plant(db)
        slot = f"realtime_{uuid4().hex}"
        db.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
        try:
            progress = "update quel_production_jobs set completed_images = 1, generated_attach_ids = '[1001]'"
            db.execute(f"{progress} where job_id = '{VICTIM}'".encode())
            db.execute("update quel_member set quel_member_credit = 5")
            told = "select data from pg_logical_slot_get_binary_changes(%s, null, null, %s, %s, %s, %s)"
            options = ("proto_version", "1", "publication_names", "supabase_realtime")
            changes = [bytes(data) for (data,) in db.execute(told, (slot, *options))]
        finally:
            db.execute("select pg_drop_replication_slot(%s)", (slot,))
    [update] = [change for change in changes if change.startswith(b"U")]
    assert b"[1001]" in update
    assert str(VICTIM).encode() in update


@pytest.mark.parametrize("before", BEFORE)
def test_realtime_is_told_of_progress_in_tables_that_were_there(migrated: Project, before: str) -> None:
    with database(migrated) as db:
        for file in BEFORE[before]:
            run_file(db, file)
        migrate(db)
        published = "select tablename from pg_publication_tables where pubname = 'supabase_realtime'"
        assert db.execute(published).fetchall() == [("quel_production_jobs",)]


def test_a_publication_of_everything_is_left_as_it_is(migrated: Project) -> None:
    with database(migrated) as db:
        db.execute("drop publication supabase_realtime; create publication supabase_realtime for all tables")
        migrate(db)
        assert db.execute("select puballtables from pg_publication").fetchall() == [(True,)]
    with database(migrated) as db:
        db.execute("drop publication supabase_realtime")
        migrate(db)
        assert db.execute("select count(*) from pg_publication").fetchone() == (0,)
