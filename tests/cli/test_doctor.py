"""`doctor` says what is wrong, a line each with the remedy; `download --urls` hands out addresses."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from temporalio.client import Client

from darkroom.bootstrap import open_parts
from darkroom.domain.names import TaskQueue
from darkroom.records.supabase import SCHEMA_VERSION
from darkroom.settings import read_settings
from tests.cli.conftest import Ended, Run
from tests.support.fakes.gemini import FakeGemini
from tests.support.fakes.runware import FakeRunware
from tests.support.records.fixture import RecordsFixture
from tests.support.records.tables import PostgresTables
from tests.support.stacks.pollers import poll_once
from tests.support.supabase.local import LocalSupabase


@pytest.fixture
def on_supabase(connected: Path, supabase: LocalSupabase, monkeypatch: pytest.MonkeyPatch) -> LocalSupabase:
    """A command line that finds Temporal and a whole project."""
    for name, value in supabase.environment.items():
        monkeypatch.setenv(name, value)
    return supabase


@pytest.fixture(autouse=True, scope="module")
def served(server: str) -> None:
    """Every task queue has a worker, as far as the server knows."""

    async def poll() -> None:
        await poll_once(await Client.connect(server), *TaskQueue)

    asyncio.run(poll())


def found(ended: Ended) -> dict[str, Any]:
    """The findings of `doctor --json` by what was looked at."""
    return {finding["what"]: finding for finding in ended.document["findings"]}


def wrong(ended: Ended) -> dict[str, str]:
    """What is wrong, with its remedy."""
    assert ended.status == 1
    return {what: finding["remedy"] for what, finding in found(ended).items() if finding["state"] == "wrong"}


def test_a_whole_deployment_has_nothing_wrong(run: Run, on_supabase: LocalSupabase) -> None:
    ended = run("doctor")
    assert ended.status == 0, ended.out
    lines = ended.out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * len(lines)
    for what in ("Temporal", "namespace", "search attributes", "Supabase", "service key", "clock", "bucket"):
        assert sum(line.startswith(f"ok     {what} ") for line in lines) == 1
    assert found(run("doctor", "--json"))["migrations"]["told"] == f"are at {SCHEMA_VERSION}"
    assert on_supabase.storage.calls["remove"] == 2


def test_the_embedded_default_needs_no_project(run: Run, connected: Path) -> None:
    ended = run("doctor", "--json")
    assert ended.status == 0
    assert set(found(ended)) == {
        "Temporal", "namespace", "search attributes", "workers", "workflows", "folder", "disk", "provider offline",
    }  # fmt: skip


def test_a_server_that_is_not_there_hides_no_other_finding(run: Run, home: Path) -> None:
    ended = run("doctor", "--json")
    assert set(wrong(ended)) == {"Temporal"}
    assert "`darkroom up`" in wrong(ended)["Temporal"]
    assert found(ended)["folder"]["state"] == "good"


def test_a_home_that_is_not_there_is_not_made(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "a" / "b"
    monkeypatch.setenv("DARKROOM_HOME", str(deep))
    assert found(run("doctor", "--json"))["folder"]["state"] == "good"
    assert not deep.parent.exists()
    home.mkdir()
    (home / "notes").write_text("mine")
    monkeypatch.setenv("DARKROOM_HOME", str(home))
    run("doctor", "--json")
    assert (home / "notes").read_text() == "mine"


def test_a_namespace_that_is_not_there_is_named(run: Run, connected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "nowhere")
    ended = run("doctor", "--json")
    assert "namespace" in wrong(ended)
    assert "nowhere" in found(ended)["namespace"]["told"]


@pytest.mark.parametrize("key", ["anon", "publishable", "another project's", "no key at all"])
def test_a_key_that_is_no_service_key_is_told_from_it(
    run: Run, on_supabase: LocalSupabase, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    keys = {
        "anon": on_supabase.project.anon_key,
        "publishable": "sb_publishable_abcdefgh",
        "another project's": jwt.encode({"role": "service_role"}, "another secret, long enough to sign with", "HS256"),
        "no key at all": "hunter2",
    }
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", keys[key])
    ended = run("doctor", "--json")
    assert set(wrong(ended)) == {"service key"}
    assert "SUPABASE_SERVICE_ROLE_KEY" in wrong(ended)["service key"]
    assert found(ended)["Supabase"]["state"] == "good"
    assert found(ended)["bucket"]["state"] == "unknown"


def test_a_project_that_is_away_is_one_finding(run: Run, on_supabase: LocalSupabase) -> None:
    on_supabase.project.stop_postgrest()
    assert set(wrong(run("doctor", "--json"))) == {"Supabase"}


@contextmanager
def changed(supabase: LocalSupabase, statement: str, back: str) -> Iterator[None]:
    """The project with something changed in it, and put right afterwards."""
    with supabase.project.connect() as database:
        database.execute(statement.encode())
        supabase.project.reload_schema()
        try:
            yield
        finally:
            database.execute(back.encode())
            supabase.project.reload_schema()


def test_migrations_that_are_missing_or_old_are_named(run: Run, on_supabase: LocalSupabase) -> None:
    renamed = "alter function darkroom_state() rename to kept_state"
    with changed(on_supabase, renamed, "alter function kept_state() rename to darkroom_state"):
        assert "supabase/migrations" in wrong(run("doctor", "--json"))["migrations"]
    with changed(
        on_supabase,
        f"delete from quel_schema_versions where version = '{SCHEMA_VERSION}'",
        f"insert into quel_schema_versions values ('{SCHEMA_VERSION}')",
    ):
        ended = run("doctor", "--json")
        assert set(wrong(ended)) == {"migrations"}
        assert SCHEMA_VERSION in found(ended)["migrations"]["told"]


def test_a_bucket_that_anybody_may_read_is_wrong(run: Run, on_supabase: LocalSupabase) -> None:
    request = urllib.request.Request(
        f"{on_supabase.project.url}/storage/v1/bucket",
        data=b'{"id": "open", "name": "open", "public": true}',
        headers={
            "Authorization": f"Bearer {on_supabase.project.service_role_key}",
            "Content-Type": "application/json",
        },
    )
    urllib.request.urlopen(request, timeout=10).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPABASE_BUCKET", "open")
        assert "private" in wrong(run("doctor", "--json"))["bucket"]


def test_a_provider_key_is_asked_for_without_drawing(
    run: Run, connected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(key: str) -> Ended:
        async with FakeGemini() as gemini:
            monkeypatch.setenv("GEMINI_API_KEY", key or gemini.key)
            monkeypatch.setenv("GEMINI_BASE_URL", gemini.url)
            ended = await asyncio.to_thread(run, "doctor", "--json")
            assert list(gemini.received) == []
            return ended

    assert found(asyncio.run(asked("")))["provider gemini"]["state"] == "good"
    assert "GEMINI_API_KEY" in wrong(asyncio.run(asked("wrong")))["provider gemini"]


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("good", None),
        ("wrong", "RUNWARE_API_KEY"),
        ("without credits", "add credits to the account of RUNWARE_API_KEY"),
    ],
)
def test_runwares_account_is_asked_for_without_drawing(
    run: Run, connected: Path, monkeypatch: pytest.MonkeyPatch, key: str, remedy: str | None
) -> None:
    async def asked() -> Ended:
        async with FakeRunware() as runware:
            runware.balance = 0 if key == "without credits" else 12.5
            monkeypatch.setenv("IMAGE_PROVIDER", "runware,offline")
            monkeypatch.setenv("RUNWARE_API_KEY", key if key == "wrong" else runware.key)
            monkeypatch.setenv("RUNWARE_BASE_URL", runware.url)
            ended = await asyncio.to_thread(run, "doctor", "--json")
            assert list(runware.received) == []
            return ended

    ended = asyncio.run(asked())
    assert found(ended)["provider offline"]["state"] == "good"
    if remedy is None:
        assert (ended.status, found(ended)["provider runware"]["state"]) == (0, "good")
    else:
        assert remedy in wrong(ended)["provider runware"]


@asynccontextmanager
async def delivered_job(supabase: LocalSupabase) -> AsyncIterator[str]:
    """A job with two delivered pictures, in records and bucket."""
    async with open_parts(read_settings()) as parts:
        fixture = RecordsFixture(parts.records, PostgresTables(supabase.project.database_uri))
        job = await fixture.opened(await fixture.member(), (2,))
        for ordinal in range(2):
            await parts.storage.put(job.key(ordinal).final(job.order.user_id), b"picture", "image/webp")
            await job.deliver([ordinal])
        yield str(job.job_id)


def test_addresses_open_without_a_key(run: Run, on_supabase: LocalSupabase) -> None:
    async def ask() -> Ended:
        async with delivered_job(on_supabase) as job:
            return await asyncio.to_thread(run, "download", job, "--urls", "--json")

    ended = asyncio.run(ask())
    assert ended.status == 0
    assert [address["file"] for address in ended.document] == ["stage-1_001.webp", "stage-1_002.webp"]
    for address in ended.document:
        with urllib.request.urlopen(address["url"], timeout=10) as answer:
            assert (answer.read(), answer.headers["Content-Type"]) == (b"picture", "image/webp")


def test_a_folder_or_addresses_not_both_and_not_neither(run: Run, connected: Path, tmp_path: Path) -> None:
    for arguments in ([], [tmp_path / "pictures", "--urls"]):
        ended = run("download", str(uuid4()), *arguments)
        assert ended.status == 2
        assert "--urls" in ended.error


def test_an_order_on_supabase_says_who_pays(run: Run, on_supabase: LocalSupabase, tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    order.write_text('{"stages": [{"prompt": "a lemon", "quantity": 1}]}', "utf-8")
    ended = run("submit", order)
    assert ended.status == 2
    assert ended.error == "user_id: is missing: set userId to the user who pays, or order with --anonymous"
    assert run("credits", "show").status == 2
