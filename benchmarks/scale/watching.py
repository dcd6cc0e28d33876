"""Somebody who asks for progress and for the list of jobs, again and again, while jobs run."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from benchmarks.api import ApiProcess
from benchmarks.bench_server import BenchServer
from benchmarks.followers import HOST

EVERY = 0.25
"""Seconds between two questions of a kind."""

UNTIL_ONE_IS_SUBMITTED = 0.01
"""Seconds between two looks whether there is a job to ask about."""


@dataclass
class Watched:
    """How long the answers took, in milliseconds."""

    progress: list[float] = field(default_factory=list)
    lists: list[float] = field(default_factory=list)
    from_records: int = 0
    """Answers about progress that came from the records: a job had not begun, or no workflow answered within 2 s."""

    def and_then(self, later: "Watched") -> "Watched":
        """All answers of two times."""
        return Watched(self.progress + later.progress, self.lists + later.lists, self.from_records + later.from_records)


@asynccontextmanager
async def watching(server: BenchServer, api: ApiProcess, submitted: Sequence[UUID]) -> AsyncIterator[Watched]:
    """Ask as long as the context lasts, each question when the one before it was answered.

    Args:
        server: where the jobs run.
        api: who is asked for the list.
        submitted: the jobs that have not ended; one of them is asked about at a time.
    """
    watched = Watched()
    client = server.parts.client(server.temporal)
    stop = asyncio.Event()

    async def progress() -> None:
        while not submitted:
            if stop.is_set():
                return
            await asyncio.sleep(UNTIL_ONE_IS_SUBMITTED)
        began = time.perf_counter()
        reading = await client.progress(random.choice(submitted))
        watched.progress.append(1000 * (time.perf_counter() - began))
        watched.from_records += reading.source != "workflow"

    async def listed(http: httpx.AsyncClient) -> None:
        began = time.perf_counter()
        answer = await http.get(f"http://{HOST}:{api.port}/api/jobs")
        answer.raise_for_status()
        watched.lists.append(1000 * (time.perf_counter() - began))

    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        asking = [
            asyncio.create_task(_until(stop, progress)),
            asyncio.create_task(_until(stop, lambda: listed(http))),
        ]
        try:
            yield watched
        finally:
            stop.set()
            await asyncio.gather(*asking)


async def _until(stop: asyncio.Event, ask: Callable[[], Awaitable[None]]) -> None:
    while not stop.is_set():
        await ask()
        try:
            await asyncio.wait_for(stop.wait(), EVERY)
        except TimeoutError:
            continue
