"""Supabase's own addresses show signed-in users their own delivered pictures: the policy on storage.objects."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.supabase.catalogs import database, declare, migrate
from tests.support.supabase.project import Project
from tests.support.supabase.tenants import OTHER, VICTIM

STORAGE = """
create schema storage;
grant usage on schema storage to anon, authenticated, service_role;
create table storage.objects (id uuid primary key default gen_random_uuid(), bucket_id text, name text,
  unique (bucket_id, name));
alter table storage.objects enable row level security;
grant all on storage.objects to anon, authenticated, service_role;
"""
"""What of the Storage server's schema decides who reads what."""


def picture(user: object, name: str) -> str:
    return f"generated-images/user-{user}/job-1/{name}.webp"


DELIVERED, WAITING, THEIRS = picture(VICTIM, "0-0"), picture(VICTIM, "0-1"), picture(OTHER, "0-0")


def plant(db: psycopg.Connection) -> None:
    for bucket, name in [
        ("attachments", DELIVERED),
        ("attachments", WAITING),
        ("attachments", THEIRS),
        ("attachments", picture("anonymous", "0-0")),
        ("attachments", f"staging/{VICTIM}/0-0"),
        ("pictures", DELIVERED),
    ]:
        db.execute("insert into storage.objects (bucket_id, name) values (%s, %s)", (bucket, name))
    for user, path, at in ((VICTIM, DELIVERED, "now"), (VICTIM, WAITING, None), (OTHER, THEIRS, "now")):
        row = "insert into quel_attach (quel_member_id, attach_file_path, delivered_at) values (%s, %s, %s)"
        db.execute(row, (user, path, at))


def shown(db: psycopg.Connection, role: str, user: object = None) -> list[tuple[str, str]]:
    """What the Storage server lists for whoever has signed in, or nobody."""
    claims = {"role": role} | ({} if user is None else {"sub": str(user)})
    with db.transaction(force_rollback=True):
        db.execute("select set_config('request.jwt.claims', %s, true)", (json.dumps(claims),))
        db.execute(f"set local role {role}".encode())
        return db.execute("select bucket_id, name from storage.objects order by 1, 2").fetchall()


@pytest.fixture(params=[migrate, declare], ids=["migrations", "schemas"])
def stored(request: pytest.FixtureRequest, migrated: Project) -> Iterator[psycopg.Connection]:
    with database(migrated) as db:
        db.execute(STORAGE)
        request.param(db)
        plant(db)
        yield db


def test_users_read_their_own_delivered_pictures_and_no_others(stored: psycopg.Connection) -> None:
    assert shown(stored, "authenticated", VICTIM) == [("attachments", DELIVERED)]
    assert shown(stored, "authenticated", OTHER) == [("attachments", THEIRS)]


def test_nobody_else_reads_a_picture(stored: psycopg.Connection) -> None:
    assert shown(stored, "anon") == []
    assert shown(stored, "authenticated") == []


def test_it_needs_no_right_to_the_table_of_attachments(stored: psycopg.Connection) -> None:
    stored.execute("revoke all on quel_attach from authenticated")
    assert shown(stored, "authenticated", VICTIM) == [("attachments", DELIVERED)]


def test_another_bucket_stays_chosen_when_the_migrations_are_applied_again(stored: psycopg.Connection) -> None:
    assert stored.execute("select darkroom_share_pictures('pictures')").fetchone() == (True,)
    assert shown(stored, "authenticated", VICTIM) == [("pictures", DELIVERED)]
    migrate(stored)
    assert shown(stored, "authenticated", VICTIM) == [("pictures", DELIVERED)]


def test_without_the_storage_server_nothing_is_made(migrated: Project) -> None:
    with database(migrated) as db:
        migrate(db)
        assert db.execute("select darkroom_share_pictures('attachments')").fetchone() == (False,)
        assert db.execute("select to_regnamespace('darkroom')").fetchone() == (None,)
        db.execute(STORAGE)
        assert db.execute("select darkroom_share_pictures('attachments')").fetchone() == (True,)
        plant(db)
        assert shown(db, "authenticated", VICTIM) == [("attachments", DELIVERED)]
