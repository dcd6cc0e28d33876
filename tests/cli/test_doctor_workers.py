"""`doctor` names the queues that no worker serves, providers that fail, and a disk that is full."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from temporalio.client import Client

from darkroom.domain.images import Outcome
from darkroom.domain.names import TaskQueue
from darkroom.records.sqlite import SqliteRecords
from tests.cli.conftest import Run
from tests.cli.test_doctor import found, wrong
from tests.support.records.fixture import RecordsFixture
from tests.support.records.tables import SqliteTables
from tests.support.stacks.pollers import poll_once


def polled(server: str, queues: Sequence[TaskQueue], identity: str) -> None:
    async def poll() -> None:
        await poll_once(await Client.connect(server), *queues, identity=identity)

    asyncio.run(poll())


def test_queues_without_a_worker_are_named_with_the_remedy(run: Run, connected: Path, server: str) -> None:
    nobody = run("doctor", "--json")
    assert found(nobody)["workers"]["told"] == "no worker is running"
    assert wrong(nobody) == {"workers": "start one with `darkroom up` or `darkroom worker`"}
    assert found(run("doctor", "--live", "--json"))["worker"]["state"] == "unknown"
    polled(server, [queue for queue in TaskQueue if queue is not TaskQueue.GENERATE], "1@host")
    roles = run("doctor", "--json")
    assert found(roles)["workers"]["told"] == "no worker serves the task queue darkroom-generate"
    polled(server, [TaskQueue.GENERATE], "2@host")
    whole = run("doctor", "--json")
    assert (whole.status, found(whole)["workers"]["state"]) == (0, "good")


def test_a_provider_that_failed_lately_is_named(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()

    async def fail() -> None:
        records = SqliteRecords(home / "records.db")
        fixture = RecordsFixture(records, SqliteTables(records))
        job = await fixture.opened(await fixture.member(), (4,))
        for ordinal in range(3):
            await job.tried(ordinal, Outcome.FAULT, provider="gemini", reason="HTTP 503")
        await job.tried(3, Outcome.FAULT, provider="offline", reason="HTTP 500")
        await records.close()

    asyncio.run(fail())
    findings = found(run("doctor", "--json"))
    monkeypatch.setenv("COLUMNS", "80")
    listed = run("list").out
    assert " 0 of 4 " in listed
    assert "Gemini is failing (HTTP 503)" in listed
    told = findings["provider gemini"]["told"]
    assert told.startswith("its last 3 calls failed since ")
    assert told.endswith(" UTC: HTTP 503")
    assert findings["provider gemini"]["state"] == "wrong"
    assert findings["provider offline"]["state"] == "good"


def test_a_full_disk_is_named_in_one_sentence(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(run("doctor", "--json"))["disk"]["state"] == "good"
    monkeypatch.setattr("darkroom.disk.ROOM_NEEDED", 2**62)
    ended = run("doctor")
    [line] = [line for line in ended.out.splitlines() if " disk " in line]
    assert line.startswith("wrong  disk ")
    assert f"The disk that holds {home} is full: " in line
    assert line.endswith(": make room on it, and work continues by itself")


def test_a_job_whose_stages_cannot_be_read_is_listed_with_the_reason_beside_the_others(run: Run, home: Path) -> None:
    home.mkdir()

    async def store() -> list[str]:
        records = SqliteRecords(home / "records.db")
        fixture = RecordsFixture(records, SqliteTables(records))
        jobs = [await fixture.opened(await fixture.member()) for _ in range(2)]
        await fixture.tables.plant(
            "update quel_job_stages set stage_status = 'asleep' where job_id = :job", job=str(jobs[0].job_id)
        )
        await records.close()
        return [str(job.job_id) for job in jobs]

    broken, good = asyncio.run(store())
    listed = run("list")
    assert listed.status == 0
    assert good in listed.out
    assert f"job {broken}: its row cannot be read: stage 0: stage_status must be" in " ".join(listed.out.split())
