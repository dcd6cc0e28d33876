"""Supabase's own addresses show signed-in users their own delivered pictures: the policy on storage.objects."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.supabase.catalogs import BEFORE, database, declare, migrate, migrate_after
from tests.support.supabase.project import Project, run_file
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
NOBODYS = picture("anonymous", "0-0")


def plant(db: psycopg.Connection) -> None:
    for bucket, name in [
        ("attachments", DELIVERED),
        ("attachments", WAITING),
        ("attachments", THEIRS),
        ("attachments", NOBODYS),
        ("attachments", f"staging/{VICTIM}/0-0"),
        ("pictures", DELIVERED),
    ]:
        db.execute("insert into storage.objects (bucket_id, name) values (%s, %s)", (bucket, name))
    rows = [(VICTIM, DELIVERED, "now"), (VICTIM, WAITING, None), (OTHER, THEIRS, "now"), (None, NOBODYS, "now")]
    for user, path, at in rows:
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


EARLIER = "generated-images/user-x/generated_7.webp"


def plant_earlier(db: psycopg.Connection, user: object, *paths: str) -> list[int]:
    """Pictures that a worker of before makes for a user: a row each, and then the job's row lists them."""
    member = "insert into quel_member (quel_member_id, quel_member_credit) values (%s, 0) on conflict do nothing"
    db.execute(member, (user,))
    job = "insert into quel_production_jobs (job_status, quel_member_id) values ('processing', %s) returning job_id"
    [(job_id,)] = db.execute(job, (user,)).fetchall()
    made = []
    for path in paths:
        stored = "insert into storage.objects (bucket_id, name) values ('attachments', %s) on conflict do nothing"
        db.execute(stored, (path,))
        row = "insert into quel_attach (attach_directory) values (%s) returning attach_id"
        made += [attach_id for (attach_id,) in db.execute(row, (path,)).fetchall()]
    listed = "update quel_production_jobs set generated_attach_ids = %s where job_id = %s"
    db.execute(listed, (json.dumps(made), job_id))
    return made


def test_users_read_what_earlier_jobs_made_for_them(stored: psycopg.Connection) -> None:
    plant_earlier(stored, VICTIM, EARLIER, picture(VICTIM, "of-before"))
    own = sorted([("attachments", path) for path in (EARLIER, DELIVERED, picture(VICTIM, "of-before"))])
    assert shown(stored, "authenticated", VICTIM) == own
    assert shown(stored, "authenticated", OTHER) == [("attachments", THEIRS)]
    assert shown(stored, "anon") == shown(stored, "authenticated") == []


def test_a_row_that_names_another_file_later_shows_none(stored: psycopg.Connection) -> None:
    [attach_id] = plant_earlier(stored, OTHER, EARLIER)
    stored.execute("update quel_attach set attach_file_path = %s where attach_id = %s", (DELIVERED, attach_id))
    assert shown(stored, "authenticated", OTHER) == sorted([("attachments", EARLIER), ("attachments", THEIRS)])


@pytest.mark.parametrize("path", [DELIVERED, picture(str(VICTIM).upper(), "0-0"), f"staging/{VICTIM}/0-0"])
def test_an_earlier_job_shows_nothing_of_another_users_folder_or_of_staging(
    stored: psycopg.Connection, path: str
) -> None:
    plant_earlier(stored, OTHER, path)
    assert shown(stored, "authenticated", OTHER) == [("attachments", THEIRS)]


def test_a_job_that_has_another_member_since_shows_neither_of_them_its_pictures(stored: psycopg.Connection) -> None:
    plant_earlier(stored, VICTIM, EARLIER)
    stored.execute("update quel_production_jobs set quel_member_id = %s", (OTHER,))
    for user, path in ((VICTIM, DELIVERED), (OTHER, THEIRS)):
        assert shown(stored, "authenticated", user) == [("attachments", path)]


def test_pictures_of_before_the_migration_are_read_from_the_chosen_bucket(migrated: Project) -> None:
    with database(migrated) as db:
        db.execute(STORAGE)
        for file in BEFORE["described"]:
            run_file(db, file)
        migrate(db, newest="20261127180000")
        assert db.execute("select darkroom_share_pictures('pictures''s')").fetchone() == (True,)
        query = (
            "select earlier.quel_member_id, array_agg(distinct darkroom_path(image))"
            " from quel_earlier_pictures as earlier join quel_attach as image using (attach_id)"
            " where earlier.quel_member_id is not null group by 1 order by 1"
        )
        earlier = db.execute(query).fetchall()
        assert earlier
        for (path,) in db.execute("select darkroom_path(image) from quel_attach as image").fetchall():
            for bucket in ("attachments", "pictures's"):
                db.execute("insert into storage.objects (bucket_id, name) values (%s, %s)", (bucket, path))
        migrate_after(db, "20261127180000")
        for user, paths in earlier:
            assert shown(db, "authenticated", user) == [("pictures's", path) for path in sorted(paths)]


def test_nobody_else_reads_a_picture(stored: psycopg.Connection) -> None:
    assert shown(stored, "anon") == []
    assert shown(stored, "authenticated") == []


def test_rows_of_pictures_that_nobody_owns_are_read_by_no_user(stored: psycopg.Connection) -> None:
    for user in (VICTIM, OTHER, None):
        claims = {"role": "authenticated"} | ({} if user is None else {"sub": str(user)})
        with stored.transaction(force_rollback=True):
            stored.execute("select set_config('request.jwt.claims', %s, true)", (json.dumps(claims),))
            stored.execute("set local role authenticated")
            found = [path for (path,) in stored.execute("select attach_file_path from quel_attach").fetchall()]
        assert set(found) == {VICTIM: {DELIVERED, WAITING}, OTHER: {THEIRS}, None: set()}[user]


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
