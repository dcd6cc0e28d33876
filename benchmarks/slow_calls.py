"""Where the provider takes its time: what is left of a plain loop's speed, and what a burst costs."""

from math import ceil

from benchmarks.answering import answer_of, answering
from benchmarks.bench_server import Run
from benchmarks.figures import Asked, Figure, Side, median, over
from benchmarks.measurements import MB, Bench
from benchmarks.plain_loop import LoopResult, measure_plain
from benchmarks.usage import peak_of
from benchmarks.work import CONCURRENCY, Sample, Work, heavy
from benchmarks.worker_process import Kind


async def burst(bench: Bench) -> list[Figure]:
    """All calls end in the same moment, and the next ones begin as they are handled."""
    wait = 0.2 if bench.quick else 8.0
    work = Work(stages=3, images=bench.count(50, 4), shortest=wait, longest=wait)
    ideal = wait * ceil(work.images / CONCURRENCY)
    ours, bare, plain = await _turns(bench, "burst", work, bench.repeat(3))
    value = median([run.seconds - ideal for run in ours])
    reference = median([run.seconds - ideal for run in bare])
    what = f"{work.total} images, {wait:g} s per call, 64×64"
    return [
        _beside_the_loop("overhead-steady", what, ours, bare, plain, bound=1.10),
        Figure(
            name="burst",
            what=f"{what}: beyond the ideal {ideal:g} s",
            unit="s",
            value=value,
            plain=plain.seconds - ideal,
            bare=reference,
            ratio=over(value, reference),
            ratio_to="bare",
            asked=Asked(side=Side.AT_MOST, bound=1.0, of_ratio=True),
            runs=tuple(run.seconds - ideal for run in ours),
        ),
    ]


async def mixed(bench: Bench) -> list[Figure]:
    """Calls of different lengths, pictures of the usual size."""
    shortest, longest = (0.1, 0.3) if bench.quick else (4.0, 12.0)
    images = bench.count(50, 4)
    work = Work(stages=3, images=images, shortest=shortest, longest=longest, sample=Sample.SCREEN)
    ours, bare, plain = await _turns(bench, "mixed", work, bench.repeat(1))
    what = f"{work.total} images, {shortest:g}–{longest:g} s per call, 1376×768"
    return [_beside_the_loop("overhead-mixed", what, ours, bare, plain, bound=1.03)]


async def _turns(bench: Bench, name: str, work: Work, repeats: int) -> tuple[list[Run], list[Run], LoopResult]:
    ours, bare = [], []
    async with (
        bench.server(name) as server,
        bench.warm_worker(server, Kind.DARKROOM, work) as our_worker,
        bench.warm_worker(server, Kind.BARE, work) as bare_worker,
    ):
        for _ in range(repeats):
            ours.append(await server.run(our_worker, work))
            bare.append(await server.run(bare_worker, work))
    return ours, bare, await bench.plain(name, work)


def _beside_the_loop(
    name: str, what: str, ours: list[Run], bare: list[Run], plain: LoopResult, *, bound: float
) -> Figure:
    value = median([run.seconds for run in ours])
    return Figure(
        name=name,
        what=what,
        unit="s",
        value=value,
        plain=plain.seconds,
        bare=median([run.seconds for run in bare]),
        ratio=over(value, plain.seconds),
        ratio_to="plain",
        asked=Asked(side=Side.AT_MOST, bound=bound, of_ratio=True),
        runs=tuple(run.seconds for run in ours),
    )


async def memory(bench: Bench) -> list[Figure]:
    """The peak with every stage's 25 calls answering 2 MB at the same moment: ours over HTTP, through Gemini's SDK."""
    wait = 0.3 if bench.quick else 3.0
    work = Work(stages=3, images=bench.count(50, 3), shortest=wait, longest=wait, sample=Sample.HEAVY)
    alone: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    together: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    async with (
        answering(answer_of(heavy()), wait=wait) as address,
        bench.server("memory") as server,
    ):
        for kind in [kind for _ in range(bench.repeat(3)) for kind in Kind]:
            answers_at = address if kind is Kind.DARKROOM else None
            async with server.worker(kind, work, answers_at=answers_at) as worker, peak_of(worker.pid) as peak:
                await server.run_many(worker, work, 1, 1)
                alone[kind].append(worker.peak_bytes / MB)
                together[kind].append(peak.bytes / MB)
    plain = await measure_plain(work, bench.folder / "plain-memory", watch_memory=True)
    what = f"{min(75, work.total)} calls in flight, 2 MB pictures"
    by_itself, ours = median(alone[Kind.DARKROOM]), median(together[Kind.DARKROOM])
    return [
        Figure(
            name="memory",
            what=f"peak memory, {what}: worker alone",
            unit="MB",
            value=by_itself,
            plain=plain.peak_bytes / MB,
            bare=median(alone[Kind.BARE]),
            ratio=over(by_itself, plain.peak_bytes / MB),
            ratio_to="plain",
            runs=tuple(alone[Kind.DARKROOM]),
            note="Darkroom's answers come over HTTP, through Gemini's SDK; the others make theirs in the process",
        ),
        Figure(
            name="memory-together",
            what=f"peak memory, {what}: with decoding processes",
            unit="MB",
            value=ours,
            plain=plain.peak_together / MB,
            bare=median(together[Kind.BARE]),
            ratio=over(ours, plain.peak_together / MB),
            ratio_to="plain",
            asked=Asked(side=Side.AT_MOST, bound=300),
            runs=tuple(together[Kind.DARKROOM]),
            note="proportional set size: pages that several processes share are counted once",
        ),
    ]
