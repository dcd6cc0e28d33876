"""`delete` and `purge`: what goes is said first, and an interrupted one is finished by the next."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cli.working import run as run_work
from darkroom.domain.jobs import End
from darkroom.domain.names import LOCAL_USER, image_key, staging_key
from darkroom.records.sqlite import SqliteRecords
from darkroom.storage.files import FileStorage
from tests.cli.conftest import Run, contents
from tests.support.records.fixture import Job, RecordsFixture
from tests.support.records.tables import SqliteTables

ROOT = Path(__file__).parents[2]


def with_records(home: Path, work: Callable[[RecordsFixture], Coroutine[Any, Any, Any]]) -> Any:
    async def opened() -> Any:
        records = SqliteRecords(home / "records.db")
        await records.ensure_member(LOCAL_USER, 1_000)
        try:
            return await work(RecordsFixture(records, SqliteTables(records)))
        finally:
            await records.close()

    return run_work(opened())


def made(home: Path, *, quantity: int = 3, days: int = 0, original: bool = False) -> str:
    """A job that has ended so many days ago, with its files and one that came late."""

    async def work(fixture: RecordsFixture) -> str:
        storage = FileStorage(home / "files")
        job = await fixture.opened(LOCAL_USER, (quantity,))
        for ordinal in range(quantity):
            path = image_key(job.job_id, LOCAL_USER, 0, ordinal, suffix=".original.png" if original else ".webp")
            await job.attach(ordinal, path=path)
            await job.settle(ordinal)
            await storage.put(path, b"picture", "image/webp")
            if original:
                await storage.put(path.replace(".original.png", ".original.xmp"), b"mark", "application/xml")
        await job.close(End.DELIVERED)
        await storage.put(staging_key(job.job_id, 0, 9), b"late", "image/png")
        at = datetime.now(UTC) - timedelta(days=days)
        await fixture.tables.plant(
            "update quel_production_jobs set completed_at = :at where job_id = :id",
            at=at.isoformat(timespec="microseconds"),
            id=str(job.job_id),
        )
        return str(job.job_id)

    job_id: str = with_records(home, work)
    return job_id


def files(home: Path) -> list[Path]:
    return sorted(path for path in (home / "files").rglob("*") if path.is_file())


def test_what_goes_is_said_and_nobody_is_asked_without_a_terminal(run: Run, home: Path) -> None:
    job_id = made(home, original=True)
    before = contents(home)
    shown = run("delete", job_id, "--dry-run")
    assert (shown.status, contents(home)) == (0, before)
    assert re.search(r"loses 3 pictures \([0-9,]+ (bytes|KB)\), 3 marks beside them, its prompts, 1 link to", shown.out)
    assert run("delete", job_id, "--dry-run", "--json").document["pictures"] == 3
    refused = run("delete", job_id)
    assert (refused.status, contents(home)) == (2, before)
    assert "--yes" in refused.err


def test_a_deleted_job_leaves_its_numbers_and_no_file(run: Run, home: Path) -> None:
    job_id, other = made(home, original=True), made(home)
    of_other = [path for path in files(home) if other in str(path)]
    receipt, journal = run("receipt", job_id, "--json").document, run("credits", "show", "local", "--json").document
    deleted = run("delete", job_id, "--yes", "--json")
    assert (deleted.status, deleted.document["files_removed"]) == (0, True)
    assert files(home) == of_other
    assert run("receipt", job_id, "--json").document == receipt
    assert run("credits", "show", "local", "--json").document == journal
    assert [job["job_id"] for job in run("list", "--json").document] == [other]
    assert run("audit", "--json").document == {"findings": [], "pictures": 3}
    again = run("delete", job_id, "--yes")
    assert again.status == 0
    assert "nothing changed" in again.out
    assert run("rename", job_id, "Ghost").status == 5
    taken = run("download", job_id, home.parent / "taken")
    assert (taken.status, "was deleted" in taken.err, (home.parent / "taken").exists()) == (5, True, False)
    said = [line for line in contents(home) if "a quiet lake" in line]
    assert said
    assert [line for line in said if job_id in line] == []


def test_a_job_that_goes_on_is_refused_in_one_line(run: Run, home: Path) -> None:
    async def work(fixture: RecordsFixture) -> UUID:
        return (await fixture.opened(LOCAL_USER)).job_id

    job_id = with_records(home, work)
    refused = run("delete", str(job_id), "--yes")
    assert refused.status == 5
    assert refused.error == f"job {job_id} is processing; cancel it first, or wait until it ends"


def test_a_job_is_kept_for_one_that_waits_to_be_drawn_after_it(run: Run, home: Path) -> None:
    job_id = made(home, days=100)

    async def work(fixture: RecordsFixture) -> UUID:
        [image, *_] = await fixture.records.delivered_images(UUID(job_id), 0, 10)
        job = fixture.job(LOCAL_USER)
        document = {"prompt": "again", "quantity": 1, "uploadedAttachIds": [{"attachId": image.attach_id}]}
        return (await waiting(fixture, job, document)).job_id

    async def waiting(fixture: RecordsFixture, job: Job, document: dict[str, Any]) -> Job:
        assert await job.create()
        await fixture.tables.plant(
            "update quel_production_jobs set job_input_data = :document, job_type = 'simple_general' "
            "where job_id = :id",
            document=json.dumps(document),
            id=str(job.job_id),
        )
        return job

    user = with_records(home, work)
    refused = run("delete", job_id, "--yes")
    assert refused.status == 5
    assert f"job {user}, which has not ended, is drawn after one of its pictures" in refused.error
    purged = run("purge", "--older-than", "30d", "--yes")
    assert purged.status == 0
    assert f"kept: job {job_id}" in purged.out
    assert len([path for path in files(home) if job_id in str(path)]) == 4


KILLED = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from darkroom.bootstrap import open_parts
from darkroom.settings import read_settings
from darkroom.storage.files import FileStorage

at, job_id = sys.argv[1], UUID(sys.argv[2])
remove = FileStorage.delete

async def until_killed():
    print("here", flush=True)
    await asyncio.Event().wait()

async def delete(self, keys):
    if at == "before the first file":
        await until_killed()
    await remove(self, keys[:1])
    if at == "after the first file":
        await until_killed()
    await remove(self, keys)

async def main():
    async with open_parts(read_settings()) as parts:
        FileStorage.delete = delete
        if at == "after the last file":
            parts.records.finish_delete = lambda job_id: until_killed()
        await parts.client(None).delete(job_id)

asyncio.run(main())
"""


@pytest.mark.parametrize("at", ["before the first file", "after the first file", "after the last file"])
@pytest.mark.parametrize("by", ["delete", pytest.param("purge", marks=pytest.mark.slow)])
def test_what_a_killed_delete_left_is_finished_by_the_next(run: Run, home: Path, at: str, by: str) -> None:
    job_id = made(home, original=True)
    other = made(home, days=100)
    receipt = run("receipt", job_id, "--json").document
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, at, job_id]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
    # Nobody is shown anything of it, and the records are whole, before anyone goes on.
    assert [job["job_id"] for job in run("list", "--json").document] == [other]
    assert run("audit", "--json").document == {"findings": [], "pictures": 3}
    if by == "delete":
        finished = run("delete", job_id, "--yes", "--json")
        assert finished.document["files_removed"]
    else:
        assert run("purge", "--older-than", "30d", "--dry-run", "--json").document["pictures"] == 3
        finished = run("purge", "--older-than", "999d", "--yes", "--json")
        assert finished.document["deleted"] == 0
    assert finished.status == 0
    assert [path for path in files(home) if job_id in str(path)] == []
    assert run("receipt", job_id, "--json").document == receipt
    assert run("audit", "--json").document["findings"] == []


def test_a_purge_says_what_goes_and_takes_the_old_ones_alone(run: Run, home: Path) -> None:
    old, older, new = made(home, days=91), made(home, days=200), made(home, days=10)
    before = contents(home)
    told = run("purge", "--older-than", "90d", "--dry-run", "--json").document
    assert ([job["job_id"] for job in told["jobs"]], told["pictures"], told["deleted"]) == ([older, old], 6, 0)
    shown = run("purge", "--older-than", "90d", "--dry-run")
    assert "2 jobs that ended before" in shown.out
    assert run("purge", "--older-than", "90d").status == 2
    assert contents(home) == before
    purged = run("purge", "--older-than", "90d", "--yes", "--json")
    assert (purged.status, purged.document["deleted"]) == (0, 2)
    assert {path.parent.name for path in files(home)} == {f"job-{new}", new}
    assert run("purge", "--older-than", "90d", "--yes", "--json").document["deleted"] == 0
    assert run("audit", "--json").document["findings"] == []


@pytest.mark.parametrize("age", ["90", "d", "0d", "-1d", "90 days", "1y"])
def test_an_age_that_is_none_is_one_line(run: Run, home: Path, age: str) -> None:
    made(home, days=100)
    before = contents(home)
    refused = run("purge", "--older-than", age, "--yes")
    assert (refused.status, contents(home)) == (2, before)
    assert refused.error.startswith("--older-than: ")
