"""Commands run in this process, on a home of their own, against one dev server a module."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cli.app import main
from cli.working import run as run_work
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.stored import NewReference
from darkroom.records.sqlite import SqliteRecords
from tests.support.log_setup import own_log_setup
from tests.support.stacks.temporal_server import running_temporal

STRANGER = UUID("11111111-2222-4333-8444-555555555555")
STRANGERS_PICTURE = 1
"""What the stranger of a settled home has uploaded."""


@dataclass
class Ended:
    """What a command left: its status, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a command that failed."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")

    @property
    def document(self) -> Any:
        """The one JSON document of a command run with --json."""
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a Temporal server without workers."""
    running = running_temporal()
    with asyncio.Runner() as runner:
        client = runner.run(running.__aenter__())
        yield client.service_client.config.target_host
        runner.run(running.__aexit__(None, None, None))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that does not exist yet; nothing else of this computer is seen."""
    for name in ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "GEMINI_API_KEY", "IMAGE_PROVIDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "no.toml"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "home"
    monkeypatch.setenv("DARKROOM_HOME", str(folder))
    return folder


@pytest.fixture
def connected(home: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with a Temporal server."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", server)
    return home


@pytest.fixture
def settled(connected: Path) -> Path:
    """A home with the local user and a stranger who has a picture."""

    async def settle() -> None:
        records = SqliteRecords(connected / "records.db")
        await records.ensure_member(LOCAL_USER, 1_000)
        await records.ensure_member(STRANGER, 1_000)
        picture = NewReference(
            user_id=STRANGER, original_name="a.jpg", path="uploads/a.jpg", size=1, media_type="image/jpeg", sha256="0"
        )
        assert await records.add_reference(picture) == STRANGERS_PICTURE
        await records.close()

    run_work(settle())
    return connected


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command line as `darkroom` would."""

    def command(*arguments: str | Path) -> Ended:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ended(status, out, err)

    with own_log_setup():
        yield command


def contents(home: Path) -> list[str]:
    """Everything that a home holds: rows of the records, and files."""
    found = sorted(str(path.relative_to(home)) for path in (home / "files").rglob("*") if path.is_file())
    if (home / "records.db").is_file():
        with sqlite3.connect(home / "records.db") as db:
            found += list(db.iterdump())
        db.close()
    return found
