"""Large jobs, many stages and many jobs, each beside a job of 1,500 pictures; somebody watches meanwhile."""

from collections.abc import Sequence
from uuid import UUID

from benchmarks.api import p99, running_api
from benchmarks.figures import Asked, Figure, Side, median, over
from benchmarks.measurements import MB, Bench
from benchmarks.scale.observing import Observed, observe
from benchmarks.scale.watching import Watched, watching
from benchmarks.work import Work
from benchmarks.worker_process import Kind

USUAL_RUNS = 3
"""Of the job that others are compared with, before them and again after them: a machine may slow down meanwhile."""
MOST_EVENTS = 11_999


async def large(bench: Bench) -> list[Figure]:
    """3 × 10,000 pictures in a job."""
    work = Work(stages=3, images=bench.count(10_000, 20))
    return await _beside_a_usual_job(bench, "large", f"3 × {work.images:,}", [work])


async def stages(bench: Bench) -> list[Figure]:
    """100 stages of 100 in a job."""
    work = Work(stages=bench.count(100, 10), images=bench.count(100, 3))
    return await _beside_a_usual_job(bench, "stages", f"{work.stages} stages of {work.images}", [work])


async def thousand(bench: Bench) -> list[Figure]:
    """1,000 stages of 10 in a job, with calls that miss."""
    work = Work(stages=bench.count(1_000, 25), images=bench.count(10, 3), misses=0.08)
    what = f"{work.stages:,} stages of {work.images}, {work.misses:.0%} misses"
    return await _beside_a_usual_job(bench, "thousand", what, [work], most_events=14_999, like_the_usual=False)


async def pairs(bench: Bench) -> list[Figure]:
    """100 stages of two, beside one stage of as many pictures."""
    work = Work(stages=bench.count(100, 5), images=2)
    usual = Work(stages=1, images=work.total)
    what = f"{work.stages} stages of {work.images}"
    return await _beside_a_usual_job(bench, "pairs", what, [work], usual, like_the_usual=False)


async def many(bench: Bench) -> list[Figure]:
    """1,000 jobs of three at once."""
    jobs = [Work(stages=1, images=3)] * bench.count(1_000, 10)
    return await _beside_a_usual_job(bench, "many", f"{len(jobs):,} jobs of 3", jobs)


async def _beside_a_usual_job(
    bench: Bench,
    name: str,
    what: str,
    jobs: Sequence[Work],
    beside: Work | None = None,
    *,
    most_events: int = MOST_EVENTS,
    like_the_usual: bool = True,
) -> list[Figure]:
    """Measure jobs, and before and after them a job of 1,500 or another one, which they are compared with.

    Args:
        bench: where.
        name: of the figures.
        what: the figures are about.
        jobs: that run at once.
        beside: the job that they are compared with.
        most_events: that are asked of the longest history.
        like_the_usual: whether time and memory are asked to be like those of the other job.
    """
    work = beside or Work(stages=3, images=bench.count(500, 5))
    before, watched_before = await _usual(bench, "before", work)
    [observed], watched = await _watched(bench, name, jobs[0], [jobs])
    after, watched_after = await _usual(bench, "after", work)
    usual, usual_watched = [*before, *after], watched_before.and_then(watched_after)
    # Jobs of three cost more a picture than a large one: what they may cost is asked elsewhere, in processor time.
    ratio = Asked(side=Side.AT_MOST, bound=1.15, of_ratio=True) if like_the_usual else None
    asked = (most_events, ratio if len(jobs) == 1 else None, ratio)
    return [
        *_of_the_jobs(name, what, observed, usual, asked),
        *_of_the_watcher(name, what, watched, beside=(usual_watched, work.total) if len(jobs) == 1 else None),
    ]


async def _usual(bench: Bench, when: str, work: Work) -> tuple[list[Observed], Watched]:
    return await _watched(bench, f"usual-{when}", work, [[work]] * bench.count(USUAL_RUNS, 1))


async def _watched(
    bench: Bench, name: str, warm_up: Work, runs: Sequence[Sequence[Work]]
) -> tuple[list[Observed], Watched]:
    """Jobs that run at once, and when they have ended the next ones; somebody asks about them meanwhile."""
    submitted: list[UUID] = []
    async with (
        bench.server(name) as server,
        bench.warm_worker(server, Kind.DARKROOM, warm_up) as worker,
        running_api(server) as api,
        watching(server, api, submitted) as watched,
    ):
        return [await observe(server, worker, jobs, submitted) for jobs in runs], watched


def _of_the_jobs(
    name: str, what: str, observed: Observed, usual: Sequence[Observed], asked: tuple[int, Asked | None, Asked | None]
) -> list[Figure]:
    """What the jobs took; of their events, their time and the memory something may be asked."""
    beside = f"a job of {usual[0].images:,}"
    most_events, of_time, of_memory = asked
    each, cpu = median([one.each for one in usual]), median([one.cpu_each for one in usual])
    peak = median([usual[0].peak, usual[len(usual) // 2].peak])  # of workers that had done nothing before
    return [
        Figure(
            name=f"{name}-exact",
            what=f"{what}: exact and audited (1 = yes)",
            unit="",
            value=float(observed.exact),
            asked=Asked(side=Side.AT_LEAST, bound=1),
        ),
        Figure(
            name=f"{name}-events",
            what=f"{what}: events of the longest history",
            unit="",
            value=observed.most_events,
            asked=Asked(side=Side.AT_MOST, bound=most_events),
        ),
        Figure(
            name=f"{name}-time",
            what=f"{what}: time per image",
            unit="ms",
            value=observed.each,
            ratio=over(observed.each, each),
            ratio_to=beside,
            asked=of_time,
            runs=tuple(one.each for one in usual),
        ),
        Figure(
            name=f"{name}-cpu",
            what=f"{what}: CPU per image, worker and server",
            unit="ms",
            value=observed.cpu_each,
            ratio=over(observed.cpu_each, cpu),
            ratio_to=beside,
            runs=tuple(one.cpu_each for one in usual),
        ),
        Figure(
            name=f"{name}-memory",
            what=f"{what}: peak memory of the worker",
            unit="MB",
            value=observed.peak / MB,
            ratio=over(observed.peak, peak),
            ratio_to=beside,
            asked=of_memory,
            runs=(peak / MB,),
        ),
    ]


def _of_the_watcher(name: str, what: str, watched: Watched, beside: tuple[Watched, int] | None) -> list[Figure]:
    """How long answers took, beside those about a usual job of so many pictures where one job is asked about."""
    asked = len(watched.progress)
    note = f"{asked} questions, {watched.from_records} of them answered from the records"
    usual, images = beside or (None, 0)
    bounds = {"p50": (median, 50.0), "p99": (p99, 300.0)}
    figures = []
    for part, (of, most) in bounds.items():
        value = of(watched.progress)
        figures.append(
            Figure(
                name=f"{name}-progress-{part}",
                what=f"{what}: progress meanwhile, {part}",
                unit="ms",
                value=value,
                ratio=None if usual is None else over(value, of(usual.progress)),
                ratio_to=None if usual is None else f"a job of {images:,}",
                asked=Asked(side=Side.AT_MOST, bound=most),
                note=note,
            )
        )
    for part, (of, _) in bounds.items():
        value = of(watched.lists)
        figures.append(
            Figure(name=f"{name}-list-{part}", what=f"{what}: list meanwhile, {part}", unit="ms", value=value)
        )
    return figures
