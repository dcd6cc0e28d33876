"""Jobs from their orders to their results, and what they left: the same for one large job and for a thousand."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from benchmarks.bench_server import BenchServer, WorkerProcess
from benchmarks.usage import cpu_seconds
from benchmarks.work import Work
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.receipts import Receipt


@dataclass(frozen=True)
class Observed:
    """What jobs took."""

    images: int
    seconds: float
    cpu: float
    """Seconds of processor time of worker and server."""
    exact: bool
    most_events: int
    """Of the longest history on the server."""
    peak: int
    """Bytes: the most memory that the worker has had so far."""

    @property
    def each(self) -> float:
        """Milliseconds an image."""
        return 1000 * self.seconds / self.images

    @property
    def cpu_each(self) -> float:
        """Milliseconds of processor time per image."""
        return 1000 * self.cpu / self.images


async def order(server: BenchServer, work: Work, job_id: UUID, label: str | None = None) -> None:
    """Order a job as a client would."""
    client = server.parts.client(server.temporal)
    stage = {"prompt": label or f"job-{job_id}", "quantity": work.images}
    checked = await client.check({"stages": [stage] * work.stages}, LOCAL_USER)
    await client.submit(checked, job_id=job_id)


async def observe(
    server: BenchServer, worker: WorkerProcess, jobs: Sequence[Work], submitted: list[UUID] | None = None
) -> Observed:
    """Order all of them at once and wait for all results.

    Args:
        server: where they run.
        worker: who does them.
        jobs: what is ordered.
        submitted: the ids of the jobs that are accepted and have not ended.
    """
    client = server.parts.client(server.temporal)
    accepted = [] if submitted is None else submitted

    async def one(work: Work) -> tuple[UUID, Receipt]:
        job_id = uuid4()
        await order(server, work, job_id)
        accepted.append(job_id)
        receipt = await client.result(job_id)
        accepted.remove(job_id)
        return job_id, receipt

    before = cpu_seconds(worker.pid) + cpu_seconds(server.pid)
    began = time.perf_counter()
    ended = await asyncio.gather(*(one(work) for work in jobs))
    taken = time.perf_counter() - began
    cpu = cpu_seconds(worker.pid) + cpu_seconds(server.pid) - before
    exact = [
        await server.delivered_exactly(job_id, receipt, work.total)
        for (job_id, receipt), work in zip(ended, jobs, strict=True)
    ]
    return Observed(
        images=sum(work.total for work in jobs),
        seconds=taken,
        cpu=cpu,
        exact=all(exact) and not await server.parts.records.audit(),
        most_events=await longest_history(server),
        peak=worker.peak_bytes,
    )


async def longest_history(server: BenchServer) -> int:
    """Events of the longest workflow that has ended here, all runs and children of all jobs looked at."""
    return max([each.history_length or 0 async for each in server.temporal.list_workflows("")])
