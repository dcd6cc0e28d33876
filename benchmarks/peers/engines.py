"""The other engines: how each is set up, how durable that is, and its program as a process."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

from benchmarks.figures import Peer, median
from benchmarks.peers.program import Done, Ready, Setup
from benchmarks.usage import cpu_seconds, family
from benchmarks.work import CONCURRENCY, Work
from darkroom.domain.model import Value

START_PATIENCE = 90.0
STOP_PATIENCE = 30.0
RUN_PATIENCE = 600.0

PACKAGES = Path(sys.prefix) / "peers"
"""Where `make bench` installs the packages of benchmarks/requirements.txt: apart, so that ours stay as locked."""

T = TypeVar("T", bound=Value)


class NotHere(Exception):
    """An engine that cannot be measured on this machine; says why."""


@dataclass(frozen=True)
class Engine:
    """Another engine, and how its program is started."""

    name: str
    module: str
    durability: str
    database: str = ""


IN_A_FILE = (
    "each step's result in a WAL file, synced at checkpoints, as by Temporal's embedded server: survives killed "
    "processes; a power cut may lose the last moments"
)
IN_POSTGRESQL = "each step's result committed to PostgreSQL with fsync: survives a power cut"

IN_A_BROKER = (
    "messages in an append-only file, synced each second; late acknowledgement: a task whose worker died is "
    "redelivered after an hour (visibility timeout); a power cut loses up to a second of messages"
)
CORES = os.cpu_count() or 1

ENGINES = (
    Engine("Celery, 75 threads", "benchmarks.peers.celery_program", IN_A_BROKER, f"threads:{3 * CONCURRENCY}"),
    Engine("Celery, a process per core", "benchmarks.peers.celery_program", IN_A_BROKER, f"prefork:{CORES}"),
    Engine("DBOS SQLite, a workflow per picture", "benchmarks.peers.dbos_program", IN_A_FILE, "sqlite/picture"),
    Engine("DBOS SQLite, a workflow per stage", "benchmarks.peers.dbos_program", IN_A_FILE, "sqlite/stage"),
    Engine(
        "DBOS PostgreSQL, a workflow per picture", "benchmarks.peers.dbos_program", IN_POSTGRESQL, "postgresql/picture"
    ),
    Engine("DBOS PostgreSQL, a workflow per stage", "benchmarks.peers.dbos_program", IN_POSTGRESQL, "postgresql/stage"),
)


class PeerRun(Value):
    """A job that an engine did."""

    rate: float
    worker_ms: float
    server_ms: float

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time a picture."""
        return self.worker_ms + self.server_ms


@dataclass
class Measured:
    """What became of an engine."""

    engine: Engine
    works: bool = False
    runs: list[PeerRun] = field(default_factory=list)
    fault: str | None = None

    def peer(self, of: Callable[[PeerRun], float]) -> Peer:
        """Its part of a figure."""
        if not self.runs:
            return Peer(name=self.engine.name, note=f"not measured: {self.fault}")
        values = tuple(of(run) for run in self.runs)
        note = self.engine.durability
        if self.fault is not None:
            note += f" (only {len(values)} runs: {self.fault})"
        return Peer(name=self.engine.name, value=median(values), note=note, runs=values)


class EngineProcess:
    """A running program of an engine."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._ready: Ready | None = None

    async def start(self) -> None:
        """Wait until it works."""
        self._ready = await self._heard(Ready, START_PATIENCE)

    async def run(self, work: Work) -> PeerRun:
        """Have it do a job."""
        assert self._ready is not None
        assert self._process.stdin is not None
        ready = self._ready
        before = cpu_seconds(ready.worker), _cpu(ready.server)
        self._process.stdin.write(work.model_dump_json().encode() + b"\n")
        done = await self._heard(Done, RUN_PATIENCE)
        if done.done != work.total:
            raise NotHere(f"did {done.done} of {work.total} pictures")
        return PeerRun(
            rate=work.total / done.seconds,
            worker_ms=1000 * (cpu_seconds(ready.worker) - before[0]) / work.total,
            server_ms=1000 * (_cpu(ready.server) - before[1]) / work.total,
        )

    async def _heard(self, kind: type[T], patience: float) -> T:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), patience)
        except TimeoutError:
            raise NotHere(f"no answer within {patience:.0f} s") from None
        if not line:
            raise NotHere(_last_line(self._log))
        return kind.model_validate_json(line)


def _cpu(pid: int | None) -> float:
    return 0.0 if pid is None else cpu_seconds(pid)


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    last = lines[-1] if lines else "its program ended without a word"
    return f"{last}; `make bench` installs it" if last.startswith("ModuleNotFoundError") else last


@asynccontextmanager
async def running(engine: Engine, folder: Path, *, works: bool = False) -> AsyncIterator[EngineProcess]:
    """An engine that runs; all its processes are gone when the context is left.

    Args:
        engine: which.
        folder: for all that it keeps.
        works: whether its steps do the work, instead of nothing.

    Raises:
        NotHere: it cannot run on this machine.
    """
    folder.mkdir(parents=True)  # noqa: ASYNC240 - nothing else runs
    log = folder / "program.log"
    paths = [str(PACKAGES), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    setup = Setup(folder=folder / "data", database=engine.database, works=works)
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", engine.module, setup.model_dump_json()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment,
        )
    started = EngineProcess(process, log)
    try:
        await started.start()
        yield started
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), STOP_PATIENCE)
    except TimeoutError:
        for each in reversed(family(process.pid)):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        await process.wait()
