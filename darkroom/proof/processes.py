"""Programs that a run kills, stops and starts again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from darkroom.embedded.processes import start_tied
from darkroom.proof.waiting import until

STARTS_WITHIN = 60.0


@dataclass
class Process:
    """A program that can be killed, stopped and started again."""

    name: str
    program: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    folder: Path | None = None
    running: asyncio.subprocess.Process | None = None
    stopped: bool = False

    @classmethod
    def python(cls, name: str, program: Sequence[str], environment: Mapping[str, str], log: Path) -> Self:
        """One of Python's."""
        return cls(name, (sys.executable, *program), environment, log)

    async def start(self, **more: str) -> None:
        """Start it; it is killed when this process ends, however that is."""
        environment = {**self.environment, **more}
        self.running = await start_tied(self.program, self.log, environment, self.folder, at_our_end=signal.SIGKILL)

    async def kill(self) -> None:
        """SIGKILL, to it alone: what it has started must end by itself."""
        if self.running is not None and self.running.returncode is None:
            self.running.kill()
            await self.running.wait()
        self.stopped = False

    def stop(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)
        self.stopped = True

    def go_on(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)
        self.stopped = False

    @property
    def lives(self) -> bool:
        return self.running is not None and self.running.returncode is None

    def _send(self, sign: signal.Signals) -> None:
        if self.running is not None and self.running.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, sign)


@dataclass
class Worker:
    """A worker, and the name by which the provider knows its present start."""

    process: Process
    index: int
    starts: int = 0

    @property
    def known_as(self) -> str:
        return f"w{self.index}s{self.starts}"

    async def start(self, *, wait: bool = True) -> None:
        self.starts += 1
        seen = self._lines_of_start()
        await self.process.start(GEMINI_API_VERSION=self.known_as)

        async def started() -> bool:
            return self._lines_of_start() > seen or not self.process.lives

        if wait:
            await until(started, f"{self.process.name} to start", STARTS_WITHIN)

    def _lines_of_start(self) -> int:
        log = self.process.log
        return log.read_text("utf-8", "replace").count('"worker started"') if log.is_file() else 0
