"""A worker in a process of its own, which a test starts, stops, kills and reads."""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.commands import ROOT
from tests.support.until import until

GATED = ("-m", "tests.support.stacks.gated_worker")
"""The program of a worker whose provider tests hold in their hand."""


class WorkerProcess:
    """A worker in its own process, its log in a file."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._starts = 0

    @property
    def log_file(self) -> Path:
        """What the worker that was started last wrote."""
        return self._home / f"worker-{self._starts}.log"

    async def start(
        self, settings: Mapping[str, object], *, program: Sequence[str] = ("worker.py",), wait: bool = True
    ) -> None:
        """Start it; settings are given by their names in the environment."""
        self._starts += 1
        arguments = [str(ROOT / program[0]), *program[1:]] if program[0].endswith(".py") else list(program)
        environment = {
            **self._environment,
            "DARKROOM_HOME": str(self._home),
            "OFFLINE_SIZE": "64x64",
            "LOG_FORMAT": "json",
            **{name: str(value) for name, value in settings.items()},
        }
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=self._home, env=environment, stdout=log, stderr=log
            )
        if wait:
            await until(self._has_started, "the worker to start", 30)

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def suspend(self) -> None:
        """SIGSTOP: it stands still, and lives."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    async def stop(self, seconds: float = 30) -> int:
        """SIGTERM; gives the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), seconds)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of this event, of the worker that was started last."""
        return _events(self.log_file, name)

    def all_events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of this event, of this worker and of those that it replaced."""
        return [event for log in sorted(self._home.glob("worker-*.log")) for event in _events(log, name)]

    async def _has_started(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.log_file.read_text("utf-8")
        return bool(self.events("worker started"))


def _events(log: Path, name: str) -> list[dict[str, Any]]:
    lines = log.read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return [line for line in found if line.get("event") == name]
