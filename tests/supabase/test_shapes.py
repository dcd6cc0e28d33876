"""Tables that cannot be adopted stop the first migration whole, and `doctor --database` says so before that."""

import contextlib
import json
import subprocess
import sys

import psycopg
import pytest

from cli.adoption import examine_database
from cli.statuses import InputRejected
from darkroom.domain.findings import State
from tests.support.supabase.catalogs import BEFORE, FILES, database, migrate, rows, schema
from tests.support.supabase.project import ROOT, Project, run_file

SHAPES = {
    "alter table quel_member drop constraint quel_member_pkey cascade": (
        "quel_member.quel_member_id: found no primary key and no unique constraint on it, needed a primary key"
    ),
    "alter table quel_credits drop constraint quel_credits_attach_idx_fkey; alter table quel_attach"
    " alter column attach_id drop identity; alter table quel_attach alter column attach_id type text,"
    " alter column attach_id set default 'x'": ("quel_attach.attach_id: found text, needed integer or bigint"),
    "alter table quel_credits drop column user_id cascade": ("quel_credits.user_id: found no such column, needed uuid"),
    "alter table quel_production_jobs alter column job_input_data type text": (
        "quel_production_jobs.job_input_data: found text, needed jsonb"
    ),
    "alter table quel_production_jobs alter column created_at type timestamp": (
        "quel_production_jobs.created_at: found timestamp without time zone, needed timestamp with time zone"
    ),
    "alter table quel_production_jobs alter column started_at type timestamp": (
        "quel_production_jobs.started_at: found timestamp without time zone, needed timestamp with time zone"
    ),
    "alter table quel_production_jobs alter column retry_count drop default, alter column retry_count type text": (
        "quel_production_jobs.retry_count: found text, needed integer or bigint"
    ),
    "alter table quel_credits add constraint kinds check (transaction_type in ('purchase', 'refund')) not valid": (
        "quel_credits.transaction_type: found a check without the word DEDUCT, needed DEDUCT"
    ),
    "alter table quel_credits add constraint forbidden check (not (transaction_type = 'void'))": (
        "quel_credits.transaction_type: found a check without the word DEDUCT, needed DEDUCT"
    ),
    "alter table quel_attach alter column attach_id drop identity": (
        "quel_attach.attach_id: found a required column without a default, needed a default"
    ),
    "truncate quel_credits; alter table quel_credits add column tenant uuid not null": (
        "quel_credits.tenant: found a required column without a default, needed a default"
    ),
    "alter table quel_organization alter column org_credit type numeric(12,2)": (
        "quel_organization.org_credit: found numeric(12,2), needed integer or bigint"
    ),
    "alter table quel_organization_member rename column status to state": (
        "quel_organization_member.status: found no such column, needed text or character varying or enum"
    ),
    "alter table quel_organization drop constraint quel_organization_pkey cascade": (
        "quel_organization.org_id: found no primary key and no unique constraint on it, needed a primary key"
    ),
    "alter table quel_production_jobs drop constraint quel_production_jobs_org_id_fkey;"
    " alter table quel_production_jobs alter column org_id type text": (
        "quel_production_jobs.org_id: found text, needed uuid"
    ),
    "alter table quel_production_jobs drop constraint known_states;"
    " alter type job_status_enum rename value 'failed' to 'error'": (
        "quel_production_jobs.job_status: found an enum without the word failed,"
        " needed pending, processing, completed and failed"
    ),
    "alter table quel_production_jobs drop constraint known_states, add constraint known_states"
    " check (job_status in ('pending', 'processing', 'completed')) not valid": (
        "quel_production_jobs.job_status: found a check without the word failed,"
        " needed pending, processing, completed and failed"
    ),
}


def prepare(db: psycopg.Connection) -> None:
    for file in BEFORE["described"]:
        run_file(db, file)


@pytest.mark.parametrize("change", SHAPES)
def test_a_shape_that_cannot_be_adopted_changes_nothing_and_is_named(migrated: Project, change: str) -> None:
    with database(migrated) as db:
        prepare(db)
        db.execute(change.encode())
        before = schema(db), rows(db)
        with pytest.raises(psycopg.errors.RaiseException) as refused, db.transaction():
            run_file(db, FILES[0])
        assert refused.value.diag.message_primary == f"Darkroom cannot adopt these tables: {SHAPES[change]}"
        assert (schema(db), rows(db)) == before
        findings = examine_database(migrated.postgres.uri(database=db.info.dbname))
        [wrong] = [finding for finding in findings if finding.state is State.WRONG]
        said = f"{wrong.what}: {wrong.told.removeprefix('cannot be adopted: ')}, {wrong.remedy}"
        assert said == SHAPES[change]
        assert (schema(db), rows(db)) == before


def test_a_check_that_forbids_words_is_adopted(migrated: Project) -> None:
    with database(migrated) as db:
        prepare(db)
        db.execute("alter table quel_credits add check (transaction_type <> 'void'), add check (transaction_type > '')")
        assert State.WRONG not in {
            finding.state for finding in examine_database(migrated.postgres.uri(database=db.info.dbname))
        }
        migrate(db)
        word = "select darkroom_word('transaction_type', 'DEDUCT'), darkroom_word('transaction_type', 'GRANT')"
        assert db.execute(word).fetchone() == ("DEDUCT", "GRANT")


@pytest.mark.parametrize("before", ["empty", *BEFORE])
def test_what_can_be_adopted_is_found_so_before_and_after(migrated: Project, before: str) -> None:
    with database(migrated) as db:
        for file in BEFORE.get(before, ()):
            run_file(db, file)
        address = migrated.postgres.uri(database=db.info.dbname)
        assert {finding.state for finding in examine_database(address)} <= {State.GOOD, State.UNKNOWN}
        migrate(db)
        assert {finding.state for finding in examine_database(address)} <= {State.GOOD, State.UNKNOWN}


def test_the_command_lists_what_browsers_reach(migrated: Project) -> None:
    with database(migrated) as db:
        prepare(db)
        address = migrated.postgres.uri(database=db.info.dbname)
        command = [sys.executable, "-m", "darkroom", "doctor", "--database", address, "--json"]
        ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    told = [finding["told"] for finding in json.loads(ended.stdout)["findings"]]
    assert "anon may select, insert, update, delete in every row of quel_attach: no row-level security" in told
    assert "authenticated may select in every row of quel_credits: no row-level security" in told
    assert "anon may select, insert, update, delete in quel_member, as far as its policies allow" in told


def test_a_session_that_a_pooler_hands_on_can_write_afterwards(
    migrated: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(migrated.database_uri, autocommit=True) as session:
        monkeypatch.setattr(psycopg, "connect", lambda *_, **__: contextlib.nullcontext(session))
        assert examine_database("postgresql://pooler")
        assert session.execute("show transaction_read_only").fetchone() == ("off",)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://somebody:hunter2@127.0.0.1:1/none", "no database answers there, or it refuses the user; check "),
        (
            "host=/nowhere password=hunter2",
            "no database answers there, or it refuses the user; check postgresql://USER:",
        ),
        ("postgresql://somebody:hunter2@127.0.0.1:port/none", "no database answers there, or it refuses the user; "),
        ("hunter2", "is not the address of a database; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    ],
)
def test_an_address_without_a_database_is_refused_without_its_password(address: str, said: str) -> None:
    with pytest.raises(InputRejected) as refused:
        examine_database(address)
    assert str(refused.value).startswith(f"--database: {said}")
    assert "hunter2" not in str(refused.value)


def test_who_may_not_read_is_told_so(migrated: Project) -> None:
    with database(migrated) as db:
        prepare(db)
        db.execute("revoke usage on schema public from public; create role reader login")
        db.execute("revoke select on pg_catalog.pg_constraint from public")
        try:
            with pytest.raises(InputRejected) as refused:
                examine_database(migrated.postgres.uri("reader", db.info.dbname))
        finally:
            db.execute("drop role reader")
    assert str(refused.value) == (
        "--database: the user may not read the catalog of this database (42501); connect as the owner of its tables"
    )


def test_a_database_that_ends_or_cannot_answer_is_told_apart(
    migrated: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database(migrated) as db:
        address = migrated.postgres.uri(database=db.info.dbname)
        monkeypatch.setattr("cli.adoption._THERE", "select pg_terminate_backend(pg_backend_pid())")
        with pytest.raises(InputRejected, match="the database ended the connection before it had answered; try again"):
            examine_database(address)
        monkeypatch.setattr("cli.adoption._THERE", "select 1 / 0")
        with pytest.raises(InputRejected, match=r"the database cannot be examined \(SQLSTATE 22012\); see its log$"):
            examine_database(address)
