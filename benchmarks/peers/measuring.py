"""Darkroom, a bare workflow and other engines do the same work in turns: pictures per second, and processor time."""

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

from benchmarks.bench_server import Run
from benchmarks.figures import Asked, Figure, Peer, Side, median, over
from benchmarks.measurements import Bench, cpu_figures
from benchmarks.peers.program import Done, Ready, Setup
from benchmarks.usage import cpu_seconds, family
from benchmarks.work import Work
from benchmarks.worker_process import Kind
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

ENGINES = (
    Engine(
        "Celery",
        "benchmarks.peers.celery_program",
        "messages in an append-only file, synced each second; late acknowledgement: a task whose worker died is "
        "redelivered after an hour (visibility timeout); a power cut loses up to a second of messages",
    ),
    Engine("DBOS SQLite, a workflow per picture", "benchmarks.peers.dbos_program", IN_A_FILE, "sqlite/picture"),
    Engine("DBOS SQLite, a workflow per stage", "benchmarks.peers.dbos_program", IN_A_FILE, "sqlite/stage"),
    Engine(
        "DBOS PostgreSQL, a workflow per picture", "benchmarks.peers.dbos_program", IN_POSTGRESQL, "postgresql/picture"
    ),
    Engine("DBOS PostgreSQL, a workflow per stage", "benchmarks.peers.dbos_program", IN_POSTGRESQL, "postgresql/stage"),
)

DURABILITY = (
    "Darkroom: steps in Temporal's embedded server (WAL file, synced at checkpoints), pictures and money in files and "
    "records that are synced before they count"
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
    return lines[-1] if lines else "it ended without a word"


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


async def peers(bench: Bench) -> list[Figure]:
    """1,500 pictures without latency, four durable steps each, on every engine that is here."""
    work = Work(stages=3, images=bench.count(500, 5))
    empty, working = ([Measured(engine, works=works) for engine in ENGINES] for works in (False, True))
    ours: list[Run] = []
    bare: list[Run] = []
    working_bare: list[Run] = []
    async with (
        bench.server("peers") as server,
        bench.server("peers-work") as other,
        bench.warm_worker(server, Kind.DARKROOM, work) as our_worker,
        bench.warm_worker(server, Kind.BARE, work) as bare_worker,
        bench.warm_worker(other, Kind.BARE, work, works=True) as working_worker,
    ):
        for turn in range(bench.repeat(3)):
            # In turns, so that whatever else this machine does meanwhile hits all.
            ours.append(await server.run(our_worker, work))
            bare.append(await server.run(bare_worker, work))
            working_bare.append(await other.run(working_worker, work))
            for number, each in enumerate((*empty, *working)):
                if each.fault is None:
                    await _turn(each, bench.folder / f"engine-{number}-{turn}", work)
    return [
        *_beside_bare(work, ours, bare, empty),
        *_beside_engines(f"{work.total:,} of 64×64, the same work in the steps", ours, working_bare, working),
    ]


async def _turn(measured: Measured, folder: Path, work: Work) -> None:
    """A job on a fresh installation, after a small one that loads its code; what fails is the engine's fault alone."""
    try:
        async with running(measured.engine, folder, works=measured.works) as engine:
            await engine.run(Work(stages=1, images=min(50, work.images)))
            measured.runs.append(await engine.run(work))
    except (NotHere, OSError, psutil.Error) as fault:
        measured.fault = str(fault)


def _beside_bare(work: Work, ours: list[Run], bare: list[Run], empty: list[Measured]) -> list[Figure]:
    """Beside empty steps: what the engines cost by themselves."""
    rates = [run.rate for run in ours]
    value, reference = median(rates), median([run.rate for run in bare])
    of_peers: dict[str, Callable[[PeerRun], float]] = {
        "cpu-worker-peers": lambda run: run.worker_ms,
        "cpu-server-peers": lambda run: run.server_ms,
        "cpu-both-peers": lambda run: run.cpu_ms,
    }
    figures = [
        Figure(
            name="peers-throughput",
            what=f"zero latency, {work.total:,} of 64×64; others: empty steps",
            unit="/s",
            value=value,
            bare=reference,
            peers=tuple(each.peer(lambda run: run.rate) for each in empty),
            ratio=over(value, reference),
            ratio_to="bare",
            asked=Asked(side=Side.AT_LEAST, bound=1.3, of_ratio=True),
            runs=tuple(rates),
            note=DURABILITY,
        )
    ]
    for figure in cpu_figures("-peers", work, ours, bare):
        changed: dict[str, object] = {"peers": tuple(each.peer(of_peers[figure.name]) for each in empty)}
        if figure.name == "cpu-both-peers":
            changed["asked"] = Asked(side=Side.AT_MOST, bound=0.82, of_ratio=True)  # half of 0.3's
        figures.append(figure.model_copy(update=changed))
    return figures


def _beside_engines(what: str, ours: list[Run], bare: list[Run], working: list[Measured]) -> list[Figure]:
    """Beside steps that do what ours do."""
    rates = [run.rate for run in ours]
    value = median(rates)
    by_rate = tuple(each.peer(lambda run: run.rate) for each in working)
    fastest = max((peer.value for peer in by_rate if peer.value is not None), default=None)
    ahead = Asked(side=Side.AT_LEAST, bound=1.0, of_ratio=True)
    return [
        Figure(
            name="peers-work-throughput",
            what=what,
            unit="/s",
            value=value,
            bare=median([run.rate for run in bare]),
            peers=by_rate,
            ratio=over(value, fastest),
            ratio_to="the fastest other engine",
            # Where no other engine is here, none can be ahead.
            asked=None if fastest is None else ahead,
            runs=tuple(rates),
        ),
        Figure(
            name="peers-exact",
            what="Darkroom and the bare workflow with work: exact (1 = yes)",
            unit="",
            value=float(all(run.exact for run in (*ours, *bare))),
            asked=Asked(side=Side.AT_LEAST, bound=1),
        ),
        Figure(
            name="peers-work-cpu",
            what=f"CPU per image, {what}",
            unit="ms",
            value=median([run.cpu_each for run in ours]),
            bare=median([run.cpu_each for run in bare]),
            peers=tuple(each.peer(lambda run: run.cpu_ms) for each in working),
        ),
    ]
