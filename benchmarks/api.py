"""The HTTP API under load: many who follow one job, and many orders at once."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import quantiles
from uuid import UUID, uuid4

import httpx
import psutil

from benchmarks.bench_server import BenchServer
from benchmarks.figures import Asked, Figure, Side, median, over
from benchmarks.followers import HOST, Followed
from benchmarks.measurements import MB, Bench
from benchmarks.work import Sample, Work
from benchmarks.worker_process import Kind
from darkroom.domain.names import LOCAL_USER
from darkroom.embedded.ports import free_port

START_PATIENCE = 30.0


@dataclass(frozen=True)
class ApiProcess:
    """`python -m darkroom.api` on the server's records and server."""

    port: int
    pid: int

    @property
    def resident(self) -> int:
        """Bytes it has in memory now."""
        return int(psutil.Process(self.pid).memory_info().rss)


@asynccontextmanager
async def running_api(server: BenchServer) -> AsyncIterator[ApiProcess]:
    """The API in a process of its own."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "DARKROOM_HOME": str(server.home),
        "TEMPORAL_ADDRESS": server.address,
        "IMAGE_PROVIDER": "offline",
        "API_PORT": str(port),
        "API_CHANGES_PER_MINUTE": "100000",
        "API_READS_PER_MINUTE": "100000",
        "API_FOLLOWS_PER_MINUTE": "100000",
        "API_REQUESTS_PER_USER": "1000",
        "API_STREAMS_PER_USER": "1000",
        "LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "darkroom.api", env=environment)
    try:
        async with asyncio.timeout(START_PATIENCE), httpx.AsyncClient(trust_env=False) as http:
            while not await _ready(http, port):  # noqa: ASYNC110 - another process comes up
                await asyncio.sleep(0.05)
        yield ApiProcess(port, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _ready(http: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await http.get(f"http://{HOST}:{port}/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def following(bench: Bench) -> list[Figure]:
    """One job of 150 pictures with 200 clients that follow it, beside the same job with none."""
    clients = bench.count(200, 5)
    shortest, longest = (0.1, 0.3) if bench.quick else (4.0, 12.0)
    work = Work(stages=3, images=bench.count(50, 3), shortest=shortest, longest=longest, sample=Sample.SCREEN)
    alone, followed = [], []
    seen: list[Followed] = []
    grown: list[int] = []
    async with (
        bench.server("following") as server,
        bench.warm_worker(server, Kind.DARKROOM, work),
        running_api(server) as api,
    ):
        # The first follower loads code and opens connections; what grows after that is theirs.
        await _job(server, work, api, 1)
        for _ in range(bench.count(2, 1)):
            alone.append((await _job(server, work, api, 0))[0])
            before = api.resident
            seconds, told = await _job(server, work, api, clients)
            grown.append(api.resident - before)
            followed.append(seconds)
            seen += told
    exact = min(one.exact for one in seen if one.clients == clients)
    what = f"{clients} follow {work.total} pictures"
    return [
        Figure(
            name="following-exact",
            what=f"{what}: told each once, and the end",
            unit="clients",
            value=exact,
            asked=Asked(side=Side.AT_LEAST, bound=clients),
        ),
        Figure(
            name="following-wait",
            what=f"{what}: longest from delivery to told",
            unit="s",
            value=max(one.slowest for one in seen if one.clients == clients),
            asked=Asked(side=Side.AT_MOST, bound=2),
        ),
        Figure(
            name="following-memory",
            what=f"{what}: the API grows by",
            unit="MB",
            value=max(grown) / MB,
            asked=Asked(side=Side.AT_MOST, bound=100),
        ),
        Figure(
            name="following-time",
            what=f"{what}: the job takes",
            unit="s",
            value=median(followed),
            ratio=over(median(followed), median(alone)),
            ratio_to="without them",
            asked=Asked(side=Side.AT_MOST, bound=1.05, of_ratio=True),
            runs=tuple(followed),
        ),
    ]


async def _job(server: BenchServer, work: Work, api: ApiProcess, clients: int) -> tuple[float, list[Followed]]:
    """One job with so many followers: the seconds that it took, and what they saw."""
    job_id = uuid4()
    client = server.parts.client(server.temporal)
    stage = {"prompt": f"job-{job_id}", "quantity": work.images}
    began = time.perf_counter()
    checked = await client.check({"stages": [stage] * work.stages}, LOCAL_USER)
    await client.submit(checked, job_id=job_id)
    if not clients:
        await client.result(job_id)
        return time.perf_counter() - began, []
    arguments = (sys.executable, "-m", "benchmarks.followers", str(api.port), str(job_id), str(clients))
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    await client.result(job_id)
    seconds = time.perf_counter() - began
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{clients} clients could not follow the job: a line above says why")
    return seconds, [Followed.model_validate_json(output.splitlines()[-1])]


async def ordering(bench: Bench) -> list[Figure]:
    """Orders at once: how long each waits for its answer, and that none is lost or doubled."""
    at_once = bench.count(50, 5)
    work = Work(stages=1, images=1)
    async with (
        bench.server("ordering") as server,
        bench.warm_worker(server, Kind.DARKROOM, work),
        running_api(server) as api,
    ):
        client = server.parts.client(server.temporal)
        for _, job in await _order(api, [str(uuid4()) for _ in range(5)]):
            await client.result(job)
        seconds, meanwhile, jobs = [], [], []
        for _ in range(bench.count(5, 1)):
            answers = await _order(api, [str(uuid4()) for _ in range(at_once)])
            seconds += [taken for taken, _ in answers]
            # And as many again, while the worker makes the pictures of these.
            more = await _order(api, [str(uuid4()) for _ in range(at_once)])
            meanwhile += [taken for taken, _ in more]
            for _, job in answers + more:
                await client.result(job)
            jobs += [job for _, job in answers + more]
        same = {job for _, job in await _order(api, [str(uuid4())] * at_once)}
        stored = [await server.parts.records.job(job) for job in set(jobs)]
        findings = await server.parts.records.audit()
    once = len(set(jobs)) == len(jobs) and all(row is not None and row.completed_images == 1 for row in stored)
    exact = once and not findings
    what = f"POST /api/jobs, {at_once} at once"
    return [
        Figure(
            name="ordering-median",
            what=f"{what}: median",
            unit="s",
            value=median(seconds),
            asked=Asked(side=Side.AT_MOST, bound=0.4),
        ),
        Figure(name="ordering-p99", what=f"{what}: 99th percentile", unit="s", value=p99(seconds)),
        Figure(
            name="ordering-meanwhile",
            what=f"{what}, while the jobs of {at_once} others are worked on: median",
            unit="s",
            value=median(meanwhile),
        ),
        Figure(
            name="ordering-exact",
            what=f"{what}: none lost, none doubled (1 = yes)",
            unit="",
            value=float(exact),
            asked=Asked(side=Side.AT_LEAST, bound=1),
        ),
        Figure(
            name="ordering-one-key",
            what=f"{at_once} at once with one key: jobs",
            unit="",
            value=len(same),
            asked=Asked(side=Side.AT_MOST, bound=1),
        ),
    ]


async def _order(api: ApiProcess, keys: Sequence[str]) -> list[tuple[float, UUID]]:
    """Order a picture with each key, all at once: the seconds to the answer, and the job."""
    limits = httpx.Limits(max_connections=len(keys))
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as http:

        async def one(key: str) -> tuple[float, UUID]:
            document = {"stages": [{"prompt": f"job-{key}", "quantity": 1}]}
            began = time.perf_counter()
            url = f"http://{HOST}:{api.port}/api/jobs"
            answer = await http.post(url, json=document, headers={"Idempotency-Key": key})
            taken = time.perf_counter() - began
            answer.raise_for_status()
            return taken, UUID(answer.json()["job_id"])

        return list(await asyncio.gather(*(one(key) for key in keys)))


def p99(values: Sequence[float]) -> float:
    """What 99 of 100 stay below."""
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]
