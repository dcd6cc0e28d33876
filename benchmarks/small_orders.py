"""Small orders: what opening, delivering and closing a job of three costs beside the pictures of a large one."""

from benchmarks.figures import Asked, Figure, Side, over
from benchmarks.measurements import Bench
from benchmarks.work import Work
from benchmarks.worker_process import Kind

JOB = 60.0
"""Milliseconds of processor time that a job may cost by itself,"""
PICTURE = 1.3
"""and how many times as much as in a large stage its pictures may."""


async def small_orders(bench: Bench) -> list[Figure]:
    """Processor time of worker and server for jobs of three, ten at once, beside one stage of 200."""
    large, small = Work(stages=1, images=bench.count(200, 10)), Work(stages=1, images=3)
    jobs, at_once = bench.count(100, 4), bench.count(10, 2)
    async with (
        bench.server("small-orders") as server,
        bench.warm_worker(server, Kind.DARKROOM, large) as ours,
        bench.warm_worker(server, Kind.BARE, large) as bare,
    ):
        stage, bare_stage = [await server.run(worker, large) for worker in (ours, bare)]
        many, bare_many = [await server.run_many(worker, small, jobs, at_once) for worker in (ours, bare)]
    job = many.cpu_each * small.total
    allowed = PICTURE * small.total * stage.cpu_each + JOB
    what = f"{jobs} jobs of {small.total}, {at_once} at once"
    return [
        Figure(
            name="small-cpu",
            what=f"{what}: CPU per job, worker and server",
            unit="ms",
            value=job,
            bare=bare_many.cpu_each * small.total,
            ratio=over(job, allowed),
            ratio_to=f"the {allowed:.0f} ms allowed",
            asked=Asked(side=Side.AT_MOST, bound=1.0, of_ratio=True),
            note=f"allowed: {PICTURE:g} × {small.total} × CPU per image of one stage of {large.images}, and {JOB:g} ms",
        ),
        Figure(
            name="small-stage-cpu",
            what=f"one stage of {large.images}: CPU per image",
            unit="ms",
            value=stage.cpu_each,
            bare=bare_stage.cpu_each,
            ratio=over(stage.cpu_each, bare_stage.cpu_each),
            ratio_to="bare",
        ),
        Figure(
            name="small-rate",
            what=f"{what}: jobs per second",
            unit="/s",
            value=jobs / many.seconds,
            bare=jobs / bare_many.seconds,
            ratio=over(jobs / many.seconds, jobs / bare_many.seconds),
            ratio_to="bare",
        ),
        Figure(
            name="small-exact",
            what=f"{what}: exact (1 = yes)",
            unit="",
            value=float(many.exact and stage.exact),
            asked=Asked(side=Side.AT_LEAST, bound=1),
        ),
    ]
