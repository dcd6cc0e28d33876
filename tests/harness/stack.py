"""One Darkroom of a run: Temporal, a provider, an API and workers, each a process that ends with this one."""

import asyncio
import json
import os
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from temporalio.client import Client as TemporalClient

from darkroom.bootstrap import Parts, open_parts
from darkroom.client.connection import connect
from darkroom.domain.names import LOCAL_USER
from darkroom.settings import Settings
from tests.harness.account import Account, read_account, saved_calls
from tests.harness.processes import STARTS_WITHIN, Process, Worker
from tests.harness.provider import FAULTS_FILE
from tests.support.commands import ROOT
from tests.support.fakes.http import KEY
from tests.support.ports import HOST, free_port
from tests.support.stacks.temporal_server import TemporalServer
from tests.support.until import until

ENDED = ("completed", "failed", "cancelled")
OPENING_BALANCE = 100_000
STEERS_WITHIN = 60.0
SAVED_WITHIN = 2.0
"""Seconds between an answer and its bytes on disk, on a busy machine, in which a kill may lose them."""


@dataclass
class Ordered:
    """A job of the run, and what it is to end as."""

    job_id: UUID
    user_id: UUID
    quantities: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.quantities)

    def prompt(self, stage_index: int) -> str:
        """With a mark in brackets that no other stage of any job has."""
        return f"A lighthouse at dusk [{self.job_id}.{stage_index}]"

    def document(self) -> dict[str, Any]:
        """The order."""
        stages = [{"prompt": self.prompt(n), "quantity": q} for n, q in enumerate(self.quantities)]
        return {"stages": stages}


@dataclass
class Stack:
    """What a scenario holds in its hand."""

    folder: Path
    home: Path
    temporal_server: TemporalServer
    temporal: TemporalClient
    provider: Process
    api: Process
    workers: list[Worker]
    parts: Parts
    api_url: str
    environment: Mapping[str, str]
    client_limit: float
    """Seconds after which workers give a provider call up (GEMINI_TIMEOUT)."""
    jobs: list[Ordered] = field(default_factory=list)
    excused: set[int] = field(default_factory=set)
    """Provider calls that a kill, a stop, a terminate or a reset may have cost: made twice."""
    lost: set[int] = field(default_factory=set)
    """Those of them whose picture died with a worker."""
    story: list[str] = field(default_factory=list)
    seen_wrong: list[str] = field(default_factory=list)
    """What the API told while the job ran, and must not have."""
    began: float = field(default_factory=time.time)

    def say(self, what: str) -> None:
        """Note what happened, with the seconds since the start."""
        self.story.append(f"{self.since_start(time.time()):6.1f} {what}")

    def since_start(self, moment: float) -> float:
        """Seconds."""
        return moment - self.began

    @property
    def account(self) -> Account:
        return read_account(self.folder)

    def excuse(self, *workers: Worker, killed: bool = False, unsaved: bool = False) -> None:
        """Calls of these workers (none: of all) that are in progress may be lost by what was just done.

        Args:
            workers: who made them.
            killed: whether their pictures are lost, too.
            unsaved: whether their disk was full, so that answers had nowhere to go.
        """
        names = {worker.known_as for worker in workers or self.workers}
        saved = saved_calls(self.home)
        since = 0 if unsaved else time.time() - SAVED_WITHIN
        lost = {
            call.number
            for call in self.account.calls.values()
            if call.good and call.worker in names and (call.ended_at is None or call.ended_at > since)
        } - saved
        self.say(f"calls in progress: {sorted(lost - self.excused)}")
        self.excused |= lost
        if killed:
            self.lost |= lost

    def fail_calls(self, **shares: float) -> None:
        """Let these shares of the provider's calls fail from now on."""
        new = self.folder / "faults.new"
        new.write_text(json.dumps(shares), "utf-8")
        new.replace(self.folder / FAULTS_FILE)
        self.say(f"provider faults {shares}" if shares else "provider is well")

    async def order(self, *quantities: int, user_id: UUID = LOCAL_USER) -> Ordered:
        """Submit a job."""
        await self.parts.records.ensure_member(user_id, OPENING_BALANCE)
        job = Ordered(uuid4(), user_id, quantities)
        client = self.parts.client(self.temporal)
        await client.submit(await client.check(job.document(), user_id), job_id=job.job_id)
        self.jobs.append(job)
        self.say(f"ordered {quantities}")
        return job

    async def steer(self, job: Ordered, action: str) -> dict[str, Any]:
        """Cancel, pause, resume or restart through the API, which may be away."""
        deadline = time.monotonic() + STEERS_WITHIN
        while True:
            try:
                async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
                    answer = await http.post(f"{self.api_url}/api/jobs/{job.job_id}/{action}", json={})
                if answer.status_code < 400:
                    self.say(f"{action}: {answer.json().get('message')}")
                    found: dict[str, Any] = answer.json()
                    return found
                said = f"{answer.status_code} {answer.text[:200]}"
            except httpx.TransportError as error:
                said = type(error).__name__
            if time.monotonic() > deadline:
                raise AssertionError(f"{action} was not accepted in {STEERS_WITHIN:g} s: {said}")
            await asyncio.sleep(0.3)

    async def watch(self) -> None:
        """Ask the API as clients do, as long as this task runs: pictures only come, and are counted right."""
        job = self.jobs[0]
        told: dict[str, set[int]] = {"workflow": set(), "records": set()}
        async with httpx.AsyncClient(base_url=self.api_url, trust_env=False, timeout=5) as http:
            while True:
                await asyncio.sleep(0.5)
                try:
                    answer = await http.get(f"/api/jobs/{job.job_id}")
                except httpx.TransportError:
                    continue
                if answer.status_code != 200:
                    continue
                row = answer.json()
                source, ids = row["source"], set[int](row["generated_attach_ids"])
                known = told[source]
                if row["completed_images"] != len(ids) or not known <= ids or len(ids) > job.total:
                    self.seen_wrong.append(
                        f"API at {self.since_start(time.time()):.1f} s, from {source}: "
                        f"{row['completed_images']} pictures, {len(ids)} ids, {len(known - ids)} vanished"
                    )
                elif lacking := set.union(*told.values()) - ids:
                    self.say(f"API, from {source}, lacks {len(lacking)} pictures that the other source told of")
                known |= ids

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What the records say, read past everything of ours; nothing while they cannot be read."""
        with suppress(sqlite3.OperationalError):
            db = sqlite3.connect(f"file:{self.home / 'records.db'}?mode=ro", uri=True, timeout=1)
            try:
                return db.execute(statement, values).fetchall()
            finally:
                db.close()
        return []

    def delivered(self, job: Ordered) -> int:
        """How many pictures are settled."""
        counted = self.rows(
            "select count(*) from quel_attach where job_id = ? and delivered_at is not null", str(job.job_id)
        )
        return int(counted[0][0]) if counted else 0

    def status(self, job: Ordered) -> str:
        """The status of the job's row."""
        found = self.rows("select job_status from quel_production_jobs where job_id = ?", str(job.job_id))
        return str(found[0][0]) if found else ""

    async def until_delivered(self, job: Ordered, pictures: int, seconds: float = 90) -> None:
        """Wait until so many are settled, or the job has ended."""

        async def so() -> bool:
            return self.delivered(job) >= pictures or self.status(job) in ENDED

        await until(so, f"{pictures} pictures", seconds)

    async def until_ended(self, job: Ordered, seconds: float) -> None:
        """Wait for the end of the job's row."""

        async def so() -> bool:
            return self.status(job) in ENDED

        await until(so, f"the end of the job ({self.delivered(job)} of {job.total} delivered)", seconds)
        self.say(f"job is {self.status(job)}")


SETTINGS = {
    "IMAGE_PROVIDER": "gemini",
    "GEMINI_API_KEY": KEY,
    "PROVIDER_CONCURRENCY": "8",
    "TOP_UP_DELAY": "0.5",
    "LOG_FORMAT": "json",
    "IMAGE_CREDIT_PRICE": "20",
}


@asynccontextmanager
async def running_stack(folder: Path, seed: int, workers: int, client_limit: float) -> AsyncIterator[Stack]:
    """Everything up, empty; killed at the end."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (folder / "temporal").mkdir()
    server = TemporalServer(folder / "temporal")
    ports = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "DARKROOM_HOME": str(home),
        "TEMPORAL_ADDRESS": server.address,
        "GEMINI_BASE_URL": f"http://{HOST}:{ports[0]}",
        "API_PORT": str(ports[1]),
        "STAGE_CONCURRENCY": str(random.Random(seed).choice((2, 3, 4))),
        "GEMINI_TIMEOUT": f"{client_limit:g}",
        **SETTINGS,
    }
    os.chdir(folder)
    os.environ.update(environment)
    settings = Settings(_env_file=None)
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(server.kill)
        provider = Process(
            "provider",
            (
                *("-m", "tests.harness.provider", str(folder), "--port", str(ports[0]), "--seed", str(seed)),
                *("--client-limit", f"{client_limit:g}"),
            ),
            environment,
            folder / "provider.log",
        )
        api = Process("api", ("-m", "darkroom.api"), environment, folder / "api.log")
        served = [
            Worker(Process(f"worker {n}", (str(ROOT / "worker.py"),), environment, folder / f"worker-{n}.log"), n)
            for n in range(workers)
        ]
        for process in (provider, api, *(worker.process for worker in served)):
            cleanup.push_async_callback(process.kill)
        await asyncio.gather(server.start(), provider.start())
        temporal = await connect(settings)
        parts = await cleanup.enter_async_context(open_parts(settings))
        await parts.records.ensure_member(LOCAL_USER, OPENING_BALANCE)
        url = f"http://{HOST}:{ports[1]}"
        stack = Stack(folder, home, server, temporal, provider, api, served, parts, url, environment, client_limit)
        await asyncio.gather(api.start(), *(worker.start() for worker in served))
        await until_serving(stack)
        stack.say("everything is up")
        yield stack


async def until_serving(stack: Stack) -> None:
    """Wait for the API."""

    async def so() -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{stack.api_url}/healthz")).status_code == 200
        except httpx.TransportError:
            return False

    await until(so, "the API to answer", STARTS_WITHIN)
