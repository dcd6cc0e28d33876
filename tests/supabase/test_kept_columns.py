"""Users with every right on a deployment's own tables still change nothing of what Darkroom adds to them."""

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.support.supabase.catalogs import BEFORE, database, migrate
from tests.support.supabase.project import Project, run_file

TIME = "2030-01-01T00:00:00+00:00"
KEY = "00000000-0000-0000-0009-000000000001"
OURS: Mapping[str, Mapping[str, Any]] = {
    "quel_member": {"opening_balance": 1_000_000},
    "quel_production_jobs": {
        "unit_price": 0,
        "max_top_ups": 99,
        "max_credits": 1_000_000,
        "current_run_id": "mine",
        "paused": True,
        "paused_by_user": True,
        "pause_reason": "mine",
        "quota_until": TIME,
        "cancel_requested": True,
        "cancel_reason": "mine",
        "failing": True,
        "control_version": 7,
        "refreshed_at": TIME,
        "order_type": "mine",
    },
    "quel_attach": {
        "job_id": KEY,
        "stage_index": 0,
        "ordinal": 0,
        "quel_member_id": KEY,
        "sha256": "mine",
        "delivered_at": TIME,
        "delivered_run": "mine",
    },
    "quel_credits": {"job_id": KEY, "idempotency_key": "mine"},
}
KEYS = {
    "quel_member": "quel_member_id",
    "quel_production_jobs": "job_id",
    "quel_attach": "attach_id",
    "quel_credits": "id",
}
THEIRS = {
    "quel_member": "quel_name",
    "quel_production_jobs": "error_message",
    "quel_attach": "attach_original_name",
    "quel_credits": "api_provider",
}
"""A column of each table that a front end fills."""


@pytest.fixture(scope="module", params=[*BEFORE])
def open_to_users(request: pytest.FixtureRequest, migrated: Project) -> Iterator[psycopg.Connection]:
    with database(migrated) as db:
        for file in BEFORE[request.param]:
            run_file(db, file)
        migrate(db)
        for table in OURS:
            db.execute(
                f"alter table {table} disable row level security; grant all on {table} to authenticated".encode()
            )
        yield db


def newest(db: psycopg.Connection, table: str) -> dict[str, Any]:
    query = sql.SQL("select to_jsonb(held) as row from {} as held order by {} desc limit 1")
    found = db.cursor(row_factory=dict_row).execute(query.format(sql.Identifier(table), sql.Identifier(KEYS[table])))
    row = found.fetchone()
    assert row is not None
    return dict(row["row"])


def change(db: psycopg.Connection, table: str, key: object, values: Mapping[str, Any]) -> None:
    for column, value in values.items():
        query = sql.SQL("update {} set {} = %s where {} = %s")
        names = (sql.Identifier(name) for name in (table, column, KEYS[table]))
        assert db.execute(query.format(*names), (value, key)).rowcount == 1


@pytest.mark.parametrize("table", OURS)
def test_an_update_by_a_user_changes_only_what_is_theirs(open_to_users: psycopg.Connection, table: str) -> None:
    db = open_to_users
    with db.transaction(force_rollback=True):
        before = newest(db, table)
        db.execute("set local role authenticated")
        change(db, table, before[KEYS[table]], {**OURS[table], THEIRS[table]: "changed"})
        after = newest(db, table)
        assert after[THEIRS[table]] == "changed"
        assert {name: after[name] for name in OURS[table]} == {name: before[name] for name in OURS[table]}


@pytest.mark.parametrize("role", [None, "service_role"])
@pytest.mark.parametrize("table", OURS)
def test_the_owner_and_the_service_role_write_them(
    open_to_users: psycopg.Connection, table: str, role: str | None
) -> None:
    db = open_to_users
    with db.transaction(force_rollback=True):
        before = newest(db, table)
        if role:
            db.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        ours = {name: value for name, value in OURS[table].items() if name != KEYS[table]}
        change(db, table, before[KEYS[table]], ours)
        after = newest(db, table)
        assert {name: after[name] for name in ours} == ours


@pytest.mark.parametrize("table", OURS)
def test_a_row_that_a_user_inserts_has_none_of_it(open_to_users: psycopg.Connection, table: str) -> None:
    db = open_to_users
    with db.transaction(force_rollback=True):
        row = newest(db, table)
        db.execute(
            sql.SQL("delete from {} where {} = %s").format(*map(sql.Identifier, (table, KEYS[table])))
            if table in ("quel_production_jobs", "quel_credits")
            else "select %s",
            (row[KEYS[table]],),
        )
        if table == "quel_attach":
            row["attach_id"] += 1_000_000
        if table == "quel_member":
            row |= {"quel_member_id": KEY, "provider_sub": "new", "quel_email": "new@example.com"}
        db.execute("set local role authenticated")
        query = sql.SQL("insert into {0} select * from jsonb_populate_record(null::{0}, %s) returning {1}")
        names = sql.Identifier(table), sql.Identifier(KEYS[table])
        [key] = db.execute(query.format(*names), (Jsonb({**row, **OURS[table]}),)).fetchone() or ()
        query = sql.SQL("select to_jsonb(held) from {} as held where {} = %s")
        [inserted] = db.execute(query.format(*names), (key,)).fetchone() or ()
    if table == "quel_member":
        assert inserted["opening_balance"] == (row["quel_member_credit"] or 0)
    else:
        empty = {None, False, "1970-01-01T00:00:00+00:00"}
        kept = {name for name in OURS[table] if name != KEYS[table]}
        assert {inserted[name] for name in kept} <= empty
        assert inserted.get("control_version", 0) == 0
        assert inserted.get("unit_price") is None
