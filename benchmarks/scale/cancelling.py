"""After a cancel no call begins: how long the last one takes, in jobs with much left to do."""

import asyncio
import time
from uuid import uuid4

from benchmarks.bench_server import BenchServer, WorkerProcess
from benchmarks.calls import NOTED
from benchmarks.figures import Asked, Figure, Side
from benchmarks.measurements import Bench
from benchmarks.scale.observing import order
from benchmarks.work import Work
from benchmarks.worker_process import Kind

LOOK_EVERY = 0.1


async def cancel(bench: Bench) -> list[Figure]:
    """3 × 10,000 pictures, and 100 stages of 100, cancelled when 500 are delivered."""
    kinds = {
        "large": Work(stages=3, images=bench.count(10_000, 400)),
        "stages": Work(stages=bench.count(100, 20), images=bench.count(100, 60)),
    }
    figures = []
    for name, work in kinds.items():
        async with (
            bench.server(f"cancel-{name}") as server,
            bench.warm_worker(server, Kind.DARKROOM, work) as worker,
        ):
            figures += await _cancelled(server, worker, name, work, bench.count(500, 10))
    return figures


async def _cancelled(server: BenchServer, worker: WorkerProcess, name: str, work: Work, after: int) -> list[Figure]:
    client = server.parts.client(server.temporal)
    job_id = uuid4()
    label = f"{NOTED}-{name}"
    await order(server, work, job_id, label)
    while (await client.recorded(job_id)).completed_images < after:  # noqa: ASYNC110 - another process delivers
        await asyncio.sleep(LOOK_EVERY)
    asked = time.time()
    answer = await client.cancel(job_id)
    receipt = await client.result(job_id)
    ended = time.time()
    row = await client.job(job_id)
    in_time = answer.success and row.status == "cancelled" and receipt.delivered < work.total
    exact = in_time and await server.is_exact(job_id, receipt, receipt.delivered)
    what = f"{work.stages} × {work.images:,} cancelled after {after}"
    return [
        Figure(
            name=f"cancel-{name}-last-call",
            what=f"{what}: last call begins",
            unit="s",
            value=max(0.0, worker.last_call(label) - asked),
            asked=Asked(side=Side.AT_MOST, bound=3),
        ),
        Figure(name=f"cancel-{name}-end", what=f"{what}: job ends", unit="s", value=ended - asked),
        Figure(
            name=f"cancel-{name}-exact",
            what=f"{what}: exact and audited (1 = yes)",
            unit="",
            value=float(exact),
            asked=Asked(side=Side.AT_LEAST, bound=1),
            note=f"{receipt.delivered} delivered and charged",
        ),
    ]
