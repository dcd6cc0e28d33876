"""The measurements: each makes the same job in Darkroom, in the plain loop and in the bare workflow."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench_server import BenchServer, Run, WorkerProcess, bench_server
from benchmarks.figures import Asked, Figure, NotMeasured, Side, median, over
from benchmarks.plain_loop import LoopResult, measure_plain
from benchmarks.projects import ProjectKey
from benchmarks.work import Work
from benchmarks.worker_process import Kind

MB = 1_000_000
ENOUGH_TO_WARM_UP = 50
"""Images of the job that is not measured: it loads code, opens connections and fills caches."""


@dataclass(frozen=True)
class Bench:
    """One benchmark run: where its files go, and whether counts and waits are cut down."""

    folder: Path
    quick: bool
    repeats: int | None = None
    """How often to repeat what is repeated, whatever the measurement would do."""

    def repeat(self, full: int) -> int:
        """How often; a figure is the median."""
        return self.repeats or self.count(full, 1)

    def count(self, full: int, quick: int) -> int:
        """How many, of a thing that is cut down."""
        return quick if self.quick else full

    @asynccontextmanager
    async def server(self, name: str, project: ProjectKey | None = None) -> AsyncIterator[BenchServer]:
        """A fresh server in a folder of its own; the records there too, or in a project."""
        async with bench_server(self.folder / name, project) as server:
            yield server

    async def plain(self, name: str, work: Work) -> LoopResult:
        """The work in the plain loop."""
        return await measure_plain(work, self.folder / f"plain-{name}")

    @asynccontextmanager
    async def warm_worker(
        self, server: BenchServer, kind: Kind, work: Work, *, works: bool = False
    ) -> AsyncIterator[WorkerProcess]:
        """A worker that has done a small job before."""
        async with server.worker(kind, work, works=works) as worker:
            await server.run(worker, Work(stages=1, images=min(ENOUGH_TO_WARM_UP, work.images)), warm_up=True)
            yield worker


Measurement = Callable[[Bench], Awaitable[Sequence[Figure | NotMeasured]]]


async def throughput(bench: Bench) -> list[Figure]:
    """Images a second when the provider answers at once; what a job takes to begin; its history."""
    small = Work(stages=3, images=bench.count(50, 4))
    large = Work(stages=3, images=bench.count(200, 8))
    figures = []
    async with (
        bench.server("throughput") as server,
        bench.warm_worker(server, Kind.DARKROOM, small) as ours,
        bench.warm_worker(server, Kind.BARE, small) as bare,
    ):
        for work, repeats in ((small, bench.repeat(3)), (large, 1)):
            # In turns, so that whatever else this machine does meanwhile hits both.
            turns = [(await server.run(ours, work), await server.run(bare, work)) for _ in range(repeats)]
            plain = await bench.plain(f"throughput-{work.total}", work)
            figures.append(_rate(work, [run for run, _ in turns], [run for _, run in turns], plain))
            figures += cpu_figures(f"-{work.total}", work, [run for run, _ in turns], [run for _, run in turns])
            if work is small:
                figures += _of_small_jobs([run for run, _ in turns], [run for _, run in turns], plain)
    return figures


def _rate(work: Work, ours: list[Run], bare: list[Run], plain: LoopResult) -> Figure:
    value, reference = median([run.rate for run in ours]), median([run.rate for run in bare])
    return Figure(
        name=f"throughput-{work.total}",
        what=f"zero latency, {work.total:,} of 64×64",
        unit="/s",
        value=value,
        plain=work.total / plain.seconds,
        bare=reference,
        ratio=over(value, reference),
        ratio_to="bare",
        asked=Asked(side=Side.AT_LEAST, bound=0.5, of_ratio=True),
        runs=tuple(run.rate for run in ours),
    )


def cpu_figures(suffix: str, work: Work, ours: list[Run], bare: list[Run]) -> list[Figure]:
    """Milliseconds of processor time per image: the worker's with its children, the Temporal server's, both."""
    figures = []
    of: dict[str, tuple[str, Callable[[Run], float]]] = {
        "worker": ("the worker", lambda run: 1000 * run.worker_cpu / run.images),
        "server": ("the Temporal server", lambda run: 1000 * run.server_cpu / run.images),
        "both": ("worker and server", lambda run: run.cpu_each),
    }
    for name, (what, each) in of.items():
        mine = [each(run) for run in ours]
        value, reference = median(mine), median([each(run) for run in bare])
        figures.append(
            Figure(
                name=f"cpu-{name}{suffix}",
                what=f"CPU per image, {work.total:,} of 64×64: {what}",
                unit="ms",
                value=value,
                bare=reference,
                ratio=over(value, reference),
                ratio_to="bare",
                runs=tuple(mine),
            )
        )
    return figures


def _of_small_jobs(ours: list[Run], bare: list[Run], plain: LoopResult) -> list[Figure]:
    first, reference = median([run.first_call for run in ours]), median([run.first_call for run in bare])
    began = Figure(
        name="first-call",
        what="submit to first provider call",
        unit="s",
        value=first,
        plain=plain.first_call,
        bare=reference,
        ratio=over(first, reference),
        ratio_to="bare",
        asked=Asked(side=Side.AT_MOST, bound=1.3, of_ratio=True),
        runs=tuple(run.first_call for run in ours),
    )
    histories = []
    for name, what, mine, its in (
        ("history-events", "history events per image", ours[0].events, bare[0].events),
        ("history-bytes", "history bytes per image", ours[0].history_bytes, bare[0].history_bytes),
    ):
        value, other = mine / ours[0].images, its / bare[0].images
        histories.append(
            Figure(name=name, what=what, unit="", value=value, bare=other, ratio=over(value, other), ratio_to="bare")
        )
    return [began, *histories]


@dataclass(frozen=True)
class Sized:
    """One job of one stage, done by a worker of its own."""

    run: Run
    peak: int

    @property
    def each(self) -> float:
        """Milliseconds an image."""
        return 1000 * self.run.seconds / self.run.images


async def size(bench: Bench) -> list[Figure]:
    """One stage of 2,000 images beside one of 150: exact, bounded in history, time and memory."""
    small, large = Work(stages=1, images=bench.count(150, 10)), Work(stages=1, images=bench.count(2_000, 30))
    async with bench.server("size") as server:
        little, bare_little = [await _sized(bench, server, kind, small) for kind in Kind]
        much, bare_much = [await _sized(bench, server, kind, large) for kind in Kind]
    plain = await bench.plain("size", large)
    what = f"{large.total:,} in a stage: "
    beside = f"those of {small.total}"
    return [
        Figure(
            name="size-exact",
            what=f"{what}exact (1 = yes)",
            unit="",
            value=float(much.run.exact),
            asked=Asked(side=Side.AT_LEAST, bound=1),
        ),
        Figure(
            name="size-events",
            what=f"{what}events of the longest workflow",
            unit="",
            value=much.run.most_events,
            bare=bare_much.run.most_events,
            ratio=over(much.run.most_events, bare_much.run.most_events),
            ratio_to="bare",
            asked=Asked(side=Side.AT_MOST, bound=11_999),
        ),
        Figure(
            name="size-time",
            what=f"{what}time per image",
            unit="ms",
            value=much.each,
            plain=1000 * plain.seconds / large.total,
            bare=bare_much.each,
            ratio=over(much.each, little.each),
            ratio_to=beside,
            asked=Asked(side=Side.AT_MOST, bound=1.3, of_ratio=True),
            runs=(little.each, bare_little.each),
        ),
        Figure(
            name="size-memory",
            what=f"{what}peak memory",
            unit="MB",
            value=much.peak / MB,
            plain=plain.peak_bytes / MB,
            bare=bare_much.peak / MB,
            ratio=over(much.peak, little.peak),
            ratio_to=beside,
            asked=Asked(side=Side.AT_MOST, bound=1.3, of_ratio=True),
            runs=(little.peak / MB, bare_little.peak / MB),
        ),
    ]


async def _sized(bench: Bench, server: BenchServer, kind: Kind, work: Work) -> Sized:
    async with bench.warm_worker(server, kind, work) as worker:
        return Sized(run=await server.run(worker, work), peak=worker.peak_bytes)
