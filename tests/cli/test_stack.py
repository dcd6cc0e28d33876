"""`up`, `demo` and everything in between, as processes."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from PIL import Image
from temporalio.client import Client, ScheduleDescription

from darkroom.domain.names import HOUSEKEEPING_SCHEDULE
from tests.cli.conftest import Run
from tests.support.object_store import object_store
from tests.support.ports import free_port

# One `up` serves the whole file, and the last of its tests stops it.

ROOT = Path(__file__).parents[2]
STARTER = [sys.executable, str(ROOT / "starter.py")]
QUICK = {"OFFLINE_LATENCY": "0.05", "OFFLINE_SIZE": "64x36", "TOP_UP_DELAY": "0.1", "LOG_LEVEL": "warning"}


@dataclass
class Stack:
    """A running `up`."""

    process: subprocess.Popen[str]
    home: Path
    told: dict[str, Any]
    page_status: int
    """What the page answered as soon as it was told of."""
    delivered: str | None = None


HEEDS_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


def environment(home: Path, **settings: str) -> dict[str, str]:
    hidden = ("TEMPORAL_", "GEMINI_", "IMAGE_PROVIDER", "OFFLINE_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    # Output that only an unbuffered Python would show is not shown to a user.
    clean.pop("PYTHONUNBUFFERED", None)
    return {**clean, **QUICK, "DARKROOM_HOME": str(home), "PYTHONPATH": str(ROOT), **settings}


def ports_of_its_own() -> list[str]:
    return [word for name in ("--port", "--ui-port", "--api-port") for word in (name, str(free_port()))]


def first_document(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The one document that `up --json` writes when everything runs."""
    assert process.stdout is not None
    text = ""
    while not text.endswith("\n}\n"):
        line = process.stdout.readline()
        assert line, f"ended with {process.wait()}"
        text += line
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("up")
    home = folder / "home"
    with (
        (folder / "up.log").open("w") as log,
        subprocess.Popen(
            [*STARTER, "up", "--json", *ports_of_its_own()],
            env=environment(home),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            told = first_document(process)
            yield Stack(process, home, told, httpx.get(told["page"], trust_env=False).status_code)
        finally:
            process.kill()  # leaving the block would wait for its end


@pytest.fixture
def beside(stack: Stack, home: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The stack, for commands of this process."""
    monkeypatch.setenv("DARKROOM_HOME", str(stack.home))
    return stack


@pytest.fixture
def delivered(beside: Stack, run: Run, tmp_path: Path) -> str:
    """A job of five pictures, delivered; the same one for all tests that only look at it."""
    beside.delivered = beside.delivered or str(order(run, tmp_path, 5, 0)["job_id"])
    return beside.delivered


def order(run: Run, folder: Path, quantity: int, status: int, **fields: Any) -> dict[str, Any]:
    file = folder / "order.json"
    file.write_text(json.dumps({"stages": [{"prompt": "a lemon", "quantity": quantity}], **fields}))
    ended = run("submit", file, "--watch", "--json")
    assert ended.status == status, ended
    document: dict[str, Any] = ended.document
    return document


def test_the_page_answers_once_everything_is_said_to_run(stack: Stack) -> None:
    assert stack.page_status == httpx.codes.OK


def test_the_stack_looks_after_its_jobs(beside: Stack) -> None:
    async def described() -> ScheduleDescription:
        client = await Client.connect(beside.told["address"])
        return await client.get_schedule_handle(HOUSEKEEPING_SCHEDULE).describe()

    schedule = asyncio.run(described()).schedule
    assert [interval.every for interval in schedule.spec.intervals] == [timedelta(hours=1)]
    assert not schedule.state.paused


def test_an_order_is_watched_to_its_receipt(beside: Stack, run: Run, tmp_path: Path) -> None:
    told = order(run, tmp_path, 5, 0)
    assert (told["status"], told["completed_images"], told["receipt"]["total"]["charged"]) == ("completed", 5, 100)
    receipt = run("receipt", told["job_id"][:8], "--json")
    assert receipt.document == told["receipt"]
    assert "100   credits, 20 per picture" in run("receipt", told["job_id"]).out
    assert run("audit", "--json").document["findings"] == []


def test_a_short_job_is_told_by_the_exit_status(beside: Stack, run: Run, tmp_path: Path) -> None:
    told = order(run, tmp_path, 3, 1, max_credits=40)
    assert (told["status"], told["completed_images"], told["failed_images"]) == ("completed", 2, 1)
    assert run("watch", told["job_id"]).status == 1
    assert "1 missing" in run("status", told["job_id"]).out


def test_an_anonymous_job_is_free(beside: Stack, run: Run, tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text("stages:\n  - prompt: fog\n    quantity: 1\n")
    ended = run("submit", tmp_path / "order.yaml", "--anonymous", "--watch", "--json")
    assert ended.document["receipt"]["total"]["charged"] == 0


def test_a_download_takes_what_is_not_there_and_overwrites_nothing(
    beside: Stack, run: Run, delivered: str, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "pictures"
    first = run("download", delivered, folder, "--json").document
    assert (first["written"], first["skipped"]) == (5, 0)
    pictures = [f"stage-1_00{number}.webp" for number in range(1, 6)]
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.csv", "manifest.json", *pictures]
    (folder / "stage-1_004.webp").unlink()
    again = run("download", delivered, folder, "--json").document
    assert (again["written"], again["skipped"]) == (1, 4)
    (folder / "stage-1_003.webp").write_bytes(b"mine")
    (folder / "stage-1_001.webp").unlink()
    ended = run("download", delivered, folder)
    assert ended.status == 2
    assert "stage-1_003.webp already exists and is a different picture" in ended.error
    assert (folder / "stage-1_003.webp").read_bytes() == b"mine"
    assert not (folder / "stage-1_001.webp").exists()


def test_chosen_pictures_are_downloaded_under_names_of_ones_own(
    beside: Stack, run: Run, delivered: str, tmp_path: Path
) -> None:
    folder = tmp_path / "chosen"
    ids = run("status", delivered, "--json").document["generated_attach_ids"]
    chosen = f"{ids[1]},{ids[3]}"
    ended = run("download", delivered, folder, "--pictures", chosen, "--name", "{job}/{stage}/{n}", "--json")
    assert ended.document["written"] == 2
    told = json.loads((folder / "manifest.json").read_text("utf-8"))["pictures"]
    assert sorted(one["attach_id"] for one in told) == sorted((ids[1], ids[3]))
    for one in told:
        assert one["file"].startswith(f"{delivered[:8]}/0/")
        assert hashlib.sha256((folder / one["file"]).read_bytes()).hexdigest() == one["sha256"]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for refused in (["--name", "../{n}"], ["--name", "{x}{n}"], ["--pictures", "999999"], ["--stage", "8"]):
        for place in (tmp_path / "none", folder):
            ended = run("download", delivered, place, *refused)
            assert (ended.status, len(ended.error.splitlines())) == (2, 1), ended
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "manifest.json").write_text("{}")
    assert run("download", delivered, tmp_path / "theirs").status == 2
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["manifest.json"]
    assert not (tmp_path / "none").exists()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_pictures_are_copied_to_a_bucket_and_what_is_wrong_with_it_is_one_line(
    beside: Stack, run: Run, delivered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store(tmp_path / "log", "s3:ListBucket", "s3:GetObject", "s3:PutObject") as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        first = run("download", delivered, "--to", "s3://pictures/spring", "--json").document
        assert (first["written"], first["skipped"], first["folder"]) == (5, 0, "s3://pictures/spring")
        again = run("download", delivered, "--to", "s3://pictures/spring", "--json").document
        assert (again["written"], again["skipped"]) == (0, 5)
        for place in ("s3://elsewhere/a", "ftp://pictures/a"):
            ended = run("download", delivered, "--to", place)
            assert ended.status == 2
            assert ended.error.startswith("--to: ")


@pytest.mark.parametrize("command", ["cancel", "pause", "resume"])
def test_steering_an_ended_job_changes_nothing_and_is_no_error(
    beside: Stack, run: Run, delivered: str, command: str
) -> None:
    ended = run(command, delivered, "--json")
    assert ended.status == 0
    assert (ended.document["success"], ended.document["status"]) == (False, "completed")
    assert run("restart", delivered).status == 5


def test_a_cancelled_job_is_restarted_for_what_is_missing(beside: Stack, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text(json.dumps({"stages": [{"prompt": "a lemon", "quantity": 50}]}))
    job_id = run("submit", file, "--json").document["job_id"]
    assert run("cancel", job_id, "--reason", "wrong prompt", "--json").document["success"] is True
    assert run("watch", job_id).status == 1
    assert run("cancel", job_id, "--json").document["success"] is False
    again = run("restart", job_id, "--watch", "--json")
    assert again.status == 0, again
    assert again.document["receipt"]["total"]["charged"] == 1000
    assert again.document["receipt"]["delivered"] == 50


def test_the_audit_finds_a_file_that_is_gone(beside: Stack, run: Run, delivered: str) -> None:
    file = next((beside.home / "files" / "generated-images").rglob(f"job-{delivered}/0-1-*.webp"))
    aside = file.rename(file.with_suffix(".aside"))
    ended = run("audit", "--json")
    assert ended.status == 1
    assert [delivered in finding for finding in ended.document["findings"]] == [True]
    assert run("download", delivered, file.parent.parent.parent.parent.parent / "out").status == 1
    aside.rename(file)
    assert run("audit").status == 0


def test_a_second_stack_in_the_folder_is_one_line(beside: Stack, run: Run) -> None:
    for command in ("up", "demo"):
        ended = subprocess.run(
            [*STARTER, command], env=environment(beside.home), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 5
        assert ended.stderr.startswith("error: an embedded stack is already running in ")
        assert len(ended.stderr.splitlines()) == 1


def test_ctrl_c_stops_watching_and_not_the_job(beside: Stack, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text(json.dumps({"stages": [{"prompt": "a lemon", "quantity": 40}]}))
    job_id = run("submit", file, "--json").document["job_id"]
    run("pause", job_id)
    with subprocess.Popen(
        # Whoever runs the tests in the background of a shell has Ctrl-C ignored in all their processes.
        [sys.executable, "-c", HEEDS_CTRL_C, *STARTER, "watch", job_id],
        env=environment(beside.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        assert "delivered" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        try:
            _, err = watching.communicate(timeout=20)
        finally:
            watching.kill()
    assert (watching.returncode, err) == (130, "interrupted; a job that was started continues\n")
    assert run("resume", job_id).status == 0
    assert run("watch", job_id).status == 0


def test_sigterm_stops_the_stack_and_the_records_still_answer(beside: Stack, run: Run, delivered: str) -> None:
    server = psutil.Process(beside.told["server_pid"])
    beside.process.send_signal(signal.SIGTERM)
    assert beside.process.wait(30) == 0
    assert not server.is_running()
    assert not (beside.home / "temporal.json").exists()
    assert run("status", delivered, "--json").document["source"] == "records"
    assert run("receipt", delivered).status == 0
    assert run("watch", delivered).status == 0
    assert run("cancel", str(uuid4())).status == 4
    assert run("cancel", delivered).status == 3


def test_the_demo_delivers_everything_it_ordered(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ended = subprocess.run(
        [*STARTER, "demo", "--json"],
        env=environment(home, STAGE_CONCURRENCY="16", OFFLINE_FAULT_RATE="0"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["receipt"]["delivered"] == told["receipt"]["ordered"] == 48
    assert told["receipt"]["total"]["misses"] > 0
    assert "top-up 1 started" in ended.stderr
    assert told["first_picture_seconds"] < 45  # under 5 s alone; here it shares two cores with other tests
    pictures = list(Path(told["folder"]).glob("*.webp"))
    assert len(pictures) == 48
    with Image.open(told["contact_sheet"]) as sheet:
        assert sheet.width == 1600
    assert (home / "demo.log").stat().st_size >= 0


@pytest.mark.slow
def test_the_demos_picture_book_has_a_cover_and_a_sheet_that_reads_as_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ended = subprocess.run(
        [*STARTER, "demo", "--order", "storybook", "--json"],
        env=environment(home, OFFLINE_FAULT_RATE="0"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["receipt"]["job_type"] == "storybook"
    assert told["receipt"]["delivered"] == told["receipt"]["ordered"] == 8
    assert len(list(Path(told["folder"]).glob("page-*.webp"))) == 8
    [cover] = (home / "files" / "books").glob("*/images/cover.png")
    with Image.open(cover) as picture, Image.open(next(Path(told["folder"]).glob("page-1_*.webp"))) as first:
        assert picture.format == "PNG"
        assert picture.convert("RGB").tobytes() == first.convert("RGB").tobytes()
    with Image.open(told["contact_sheet"]) as sheet:
        assert sheet.width == 1600
        # Four pages in a row, two rows: what is said stands below each.
        assert 600 < sheet.height < 1000


def test_ports_that_are_the_same_are_refused_before_anything_starts(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*STARTER, "up", "--port", "7512", "--ui-port", "7512"],
        check=False,
        env=environment(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "--port" in ended.stderr
    assert not (tmp_path / "home").exists()
