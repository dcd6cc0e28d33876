"""Darkroom, a bare workflow and other engines do the same work in turns: pictures per second, and processor time."""

from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.bench_server import Run
from benchmarks.figures import Asked, Figure, Side, median, over
from benchmarks.measurements import Bench, cpu_figures
from benchmarks.peers.engines import ENGINES, Measured, NotHere, PeerRun, running
from benchmarks.work import Work
from benchmarks.worker_process import Kind

DURABILITY = (
    "Darkroom: steps in Temporal's embedded server (WAL file, synced at checkpoints), pictures and money in files and "
    "records that are synced before they count"
)


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
    fastest, whose = max(((peer.value, peer.name) for peer in by_rate if peer.value is not None), default=(None, ""))
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
            ratio_to=f"{whose}, the fastest of them" if whose else None,
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
