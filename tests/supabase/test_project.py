"""The project that other tests rely on: it does what a hosted one does, and comes back from what tests do to it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psutil
import psycopg
import pytest
from postgrest import APIError

from darkroom.supabase import Supabase, open_supabase
from tests.support.supabase.http_bodies import ChunkedBody
from tests.support.supabase.postgrest import postgrest_program
from tests.support.supabase.project import ROOT, Project, new_secret, running_project
from tests.support.supabase.storage_server import running_storage

NOTES = """
create table if not exists public.notes (
  id bigint generated always as identity primary key,
  owner uuid not null default auth.uid(),
  words text not null
);
alter table public.notes enable row level security;
revoke all on public.notes from anon;
grant select, insert, update, delete on public.notes to authenticated, service_role;
drop policy if exists own on public.notes;
create policy own on public.notes using (owner = (select auth.uid()));
create or replace function public.caller() returns jsonb language plpgsql stable as $$
begin
  return jsonb_build_object('uid', auth.uid(), 'role', auth.role(), 'says', '100% sure; really');
end
$$;
"""


@pytest.fixture(scope="module")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "20260101000000_notes.sql").write_text(NOTES, "utf-8")
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, migrations: Path) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("supabase")
    secret = new_secret()
    with (
        running_storage(folder / "storage", jwt_secret=secret) as storage,
        running_project(folder, storage.url, migrations=migrations, jwt_secret=secret) as project,
    ):
        project.migrate()
        yield project


@pytest.fixture
def project(shared: Project) -> Project:
    """Whole and empty, whatever the test before did."""
    if not shared.postgres.running:
        shared.start_postgres()
    if not shared.postgrest.running:
        shared.start_postgrest()
    shared.reset()
    shared.reset_calls()
    return shared


@pytest.fixture
async def db(project: Project) -> AsyncIterator[Supabase]:
    db = await open_supabase(project.url, project.service_role_key)
    yield db
    await db.close()


def rest(project: Project, key: str, path: str, *, method: str = "GET", **sent: object) -> httpx.Response:
    headers = {"apikey": project.anon_key, "Authorization": f"Bearer {key}"}
    return httpx.request(method, f"{project.url}/rest/v1/{path}", headers=headers, timeout=30, **sent)  # type: ignore[arg-type] # httpx's many options


def write(project: Project, words: str) -> None:
    with project.connect() as connection:
        connection.execute("insert into notes (owner, words) values (gen_random_uuid(), %s)", (words,))


async def test_the_service_role_reads_and_writes_through_the_gateway(project: Project, db: Supabase) -> None:
    written = await db.client.table("notes").insert({"owner": str(uuid4()), "words": "one"}).execute()
    read = await db.client.table("notes").select("*").execute()
    assert read.data == written.data
    called = await db.client.rpc("caller", {}).execute()
    assert called.data == {"uid": None, "role": "service_role", "says": "100% sure; really"}


async def test_the_anonymous_key_is_refused_what_a_migration_revoked(project: Project) -> None:
    db = await open_supabase(project.url, project.anon_key)
    with pytest.raises(APIError) as refused:
        await db.client.table("notes").select("*").execute()
    await db.close()
    assert refused.value.code == "42501"


def test_a_user_sees_only_what_is_theirs(project: Project) -> None:
    write(project, "somebody else's")
    user = UUID("6f1c9b1e-6f0e-4a53-9f0d-1f4b6d2c7a11")
    mine = rest(project, project.token(user), "notes", method="POST", json={"words": "mine"})
    assert mine.status_code == 201
    assert [row["words"] for row in rest(project, project.token(user), "notes").json()] == ["mine"]
    assert rest(project, project.token(user), "rpc/caller").json()["uid"] == str(user)
    assert len(rest(project, project.service_role_key, "notes").json()) == 2


def test_a_token_that_another_project_signed_is_refused(project: Project) -> None:
    forged = project.anon_key[:-4] + ("AAAA" if not project.anon_key.endswith("AAAA") else "BBBB")
    assert rest(project, forged, "notes").status_code == 401


@pytest.mark.parametrize(("exposed", "status"), [(True, 200), (False, 403)])
def test_what_is_not_granted_is_open_in_old_projects_and_closed_in_new_ones(
    tmp_path: Path, exposed: bool, status: int
) -> None:
    (tmp_path / "0_open.sql").write_text("create table public.open (id int)", "utf-8")
    with running_project(tmp_path / "project", migrations=tmp_path, exposed=exposed) as project:
        project.migrate()
        assert rest(project, project.service_role_key, "open").status_code == status


def test_migrations_can_be_applied_again_and_keep_the_rows(project: Project) -> None:
    write(project, "kept")
    assert project.migrate() == ["20260101000000_notes.sql"]
    assert [row["words"] for row in rest(project, project.service_role_key, "notes").json()] == ["kept"]


def test_a_migration_that_fails_leaves_nothing_behind_and_the_next_offers_what_it_made(
    project: Project, migrations: Path
) -> None:
    late = migrations / "20260102000000_late.sql"
    making = "create or replace function public.late() returns int language sql return 7;"
    try:
        late.write_text(f"{making} select 1/0;", "utf-8")
        with pytest.raises(psycopg.errors.DivisionByZero):
            project.migrate()
        with project.connect() as connection:
            assert connection.execute("select to_regproc('public.late')").fetchone() == (None,)
        late.write_text(making, "utf-8")
        project.migrate()
        assert rest(project, project.service_role_key, "rpc/late").json() == 7
    finally:
        late.unlink()


def test_a_reset_empties_the_tables_and_starts_the_numbers_anew(project: Project) -> None:
    for _ in range(2):
        write(project, "again")
        assert [row["id"] for row in rest(project, project.service_role_key, "notes").json()] == [1]
        project.reset()
        assert rest(project, project.service_role_key, "notes").json() == []


@pytest.mark.parametrize("end", [Project.stop_postgres, Project.kill_postgres])
async def test_postgres_comes_back_with_what_was_committed(project: Project, db: Supabase, end: object) -> None:
    write(project, "committed")
    assert callable(end)
    end(project)
    with pytest.raises(APIError) as down:
        await db.client.table("notes").select("*").execute()
    # A pooled connection hears how its server ended, or nothing at all; later calls hear that there is none.
    assert down.value.code in {"57P01", "", "PGRST000", "PGRST001", "PGRST002"}
    project.start_postgres()
    read = await db.client.table("notes").select("words").execute()
    assert read.data == [{"words": "committed"}]


def test_killing_postgres_leaves_none_of_its_processes(project: Project) -> None:
    with project.connect() as connection:
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        project.kill_postgres()
        assert not psutil.pid_exists(row[0]) or psutil.Process(row[0]).status() == psutil.STATUS_ZOMBIE


def test_postgrest_can_be_started_before_postgres(project: Project) -> None:
    project.stop_postgrest()
    project.stop_postgres()
    project.postgrest.start(wait=False)
    project.start_postgres()
    assert rest(project, project.service_role_key, "notes").status_code == 200


@pytest.mark.parametrize("end", [Project.stop_postgrest, Project.kill_postgrest])
async def test_the_gateway_answers_502_while_postgrest_is_down(project: Project, db: Supabase, end: object) -> None:
    await db.client.table("notes").select("*").execute()
    assert callable(end)
    end(project)
    with pytest.raises(APIError) as down:
        await db.client.table("notes").insert({"owner": str(uuid4()), "words": "lost"}).execute()
    assert str(down.value.code) == "502"
    answer = rest(project, project.service_role_key, "notes", method="POST", content=b"x" * 3_000_000)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")
    project.start_postgrest()
    assert (await db.client.table("notes").select("*").execute()).data == []


def closed_within(connection: socket.socket, seconds: float) -> bool:
    """Whether the other side closes; what else comes is read."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    finally:
        connection.settimeout(10)
    return True


@pytest.mark.parametrize("end", [Project.stop_postgrest, Project.kill_postgrest])
def test_a_connection_to_the_gateway_outlives_the_postgrest_behind_it(project: Project, end: object) -> None:
    address = httpx.URL(project.url)
    head = f"GET /rest/v1/notes HTTP/1.1\r\nHost: {address.netloc.decode()}\r\nAuthorization: Bearer "
    request = f"{head}{project.service_role_key}\r\n\r\n".encode()
    assert callable(end)
    with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        end(project)
        assert not closed_within(connection, 0.5)  # a client would meet that end with its next request
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 502 ")
    project.start_postgrest()


async def test_the_gateway_counts_calls_by_method_and_path(project: Project, db: Supabase) -> None:
    for _ in range(3):
        await db.client.rpc("caller", {}).execute()
    await db.client.table("notes").select("words").eq("id", 1).execute()
    expected = {"POST rpc/caller": 3, "GET notes": 1}
    assert project.calls == expected
    assert project.reset_calls() == expected
    assert project.calls == {}


async def test_records_and_pictures_share_one_address(project: Project, db: Supabase) -> None:
    picture = os.urandom(3_000_000)
    await db.client.storage.create_bucket("pictures")
    bucket = db.client.storage.from_("pictures")
    await bucket.upload("a/one.png", picture, {"content-type": "image/png"})
    await db.client.table("notes").insert({"owner": str(uuid4()), "words": "one"}).execute()
    assert await bucket.download("a/one.png") == picture
    assert len((await db.client.table("notes").select("*").execute()).data) == 1
    assert project.calls["POST object/pictures"] == 1
    assert project.calls["POST notes"] == 1


def test_the_gateway_passes_on_a_body_in_chunks_and_finds_the_next_request(project: Project) -> None:
    parts = (part.encode() for part in ('[{"owner": "', str(uuid4()), '", "words": "', "long " * 50_000, '"}]'))
    headers = {"Authorization": f"Bearer {project.service_role_key}", "Content-Type": "application/json"}
    with httpx.Client(base_url=f"{project.url}/rest/v1", headers=headers) as client:
        assert client.post("/notes", content=parts).status_code == 201
        assert len(client.get("/notes").json()[0]["words"]) == 250_000


@pytest.mark.parametrize("size", range(1, 20))
def test_the_end_of_chunks_is_found_wherever_the_network_cuts_them(size: int) -> None:
    whole = b"5;x=y\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nDigest: x\r\n\r\n"
    following = b"GET / HTTP/1.1\r\n\r\n"
    body, received, taken = ChunkedBody(), bytearray(), b""
    for start in range(0, len(whole + following), size):
        received += (whole + following)[start : start + size]
        count = 0 if body.finished else body.take(received)
        taken += bytes(received[:count])
        del received[:count]
    assert body.finished
    assert (taken, bytes(received)) == (whole, following)


def test_other_paths_have_no_route(tmp_path: Path) -> None:
    with running_project(tmp_path) as project:
        for path in ("/storage/v1/bucket", "/auth/v1/user", "/", "/rest"):
            assert httpx.get(project.url + path).status_code == 404


def test_nothing_is_left_of_a_project_whose_process_was_killed(tmp_path: Path) -> None:
    postgrest_program()
    code = (
        "import pathlib, signal, sys; from tests.support.supabase.project import running_project\n"
        "with running_project(pathlib.Path(sys.argv[1])) as project:\n"
        "    print(project.database_uri, flush=True); signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        uri = owner.stdout.readline()
        servers = psutil.Process(owner.pid).children(recursive=True)
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait(10)
    assert "host=" in uri
    assert len(servers) >= 4
    _, alive = psutil.wait_procs(servers, 20)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert not Path(uri.strip().rpartition("host=")[2].replace("%2F", "/")).exists()
