"""One Darkroom of a run: its processes, its jobs, and what can be read and asked of them."""

import asyncio
import json
import shutil
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

import httpx
from temporalio.client import Client as TemporalClient

from darkroom.bootstrap import Parts
from darkroom.domain.names import LOCAL_USER
from darkroom.proof.account import Account, read_account, saved_calls
from darkroom.proof.marks import prompt_mark
from darkroom.proof.processes import Process, Worker
from darkroom.proof.provider import FAULTS_FILE
from darkroom.proof.waiting import until
from darkroom.records.images import ImageRecords
from darkroom.records.money import MoneyRecords

ENDED = ("completed", "failed", "cancelled")
OPENING_BALANCE = 100_000
STEERS_WITHIN = 60.0
SAVED_WITHIN = 2.0
"""Seconds between an answer and its bytes on disk, on a busy machine, in which a kill may lose them."""


class LateRecords(ImageRecords, MoneyRecords, Protocol):
    """What a worker that comes back late writes to."""


@dataclass
class Ordered:
    """A job of the run."""

    job_id: UUID
    user_id: UUID | None
    total: int
    org_id: UUID | None = None
    ends: str | None = "completed"
    """How it must end, with all that was ordered when `completed`; None for any end that says its reasons."""


@dataclass
class Stack:
    """What a scenario holds in its hand."""

    folder: Path
    home: Path
    temporal_server: Process
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
    openings: dict[str, int] = field(default_factory=dict)
    """What wallets had at first, where it is not the usual."""
    kills: int = 0
    restarts: list[float] = field(default_factory=list)
    """When killed workers were started again."""
    late: LateRecords | None = None
    """Records as a proof's own workers see them."""
    story: list[str] = field(default_factory=list)
    seen_wrong: list[str] = field(default_factory=list)
    """What the API told while the job ran, and must not have."""
    began: float = field(default_factory=time.time)

    def say(self, what: str) -> None:
        """Note what happened, with the seconds since the start."""
        self.story.append(f"{self.since_start(time.time()):6.1f} {what}")

    @property
    def late_records(self) -> LateRecords:
        """What a worker that comes back late would write to."""
        return self.late or self.parts.records

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
        """Submit a job with a stage per quantity."""
        job_id = uuid4()
        stages = [{"prompt": f"A lighthouse at dusk [{job_id}.{n}]", "quantity": q} for n, q in enumerate(quantities)]
        return await self.submit({"stages": stages}, user_id, job_id=job_id)

    async def submit(
        self,
        document: Mapping[str, Any],
        user_id: UUID | None,
        *,
        org_id: UUID | None = None,
        job_id: UUID | None = None,
    ) -> Ordered:
        """Submit a job; each of its prompts has a mark in brackets that no other job's has."""
        if user_id is not None:
            await self.parts.records.ensure_member(user_id, OPENING_BALANCE)
        client = self.parts.client(self.temporal)
        checked = await client.check(dict(document), user_id, org_id=org_id)
        submitted = await client.submit(checked, job_id=job_id)
        job = Ordered(submitted.job_id, user_id, submitted.total_images, org_id)
        self.jobs.append(job)
        self.say(f"ordered {job.total} pictures in {len(checked.order.stages)} stages")
        return job

    def marks(self, job: Ordered) -> dict[int, str]:
        """What the pictures of each stage say of their prompt."""
        found = self.rows("select stage_index, prompt from quel_job_stages where job_id = ?", str(job.job_id))
        return {stage: prompt_mark(prompt) for stage, prompt in found}

    def free_megabytes(self) -> float:
        """Room on the disk of the run's folder."""
        return shutil.disk_usage(self.folder).free / 2**20

    async def steer(self, job: Ordered, action: str, *, may_refuse: bool = False) -> dict[str, Any]:
        """Cancel, pause, resume or restart through the API, which may be away; maybe it is too late for that."""
        deadline = time.monotonic() + STEERS_WITHIN
        while True:
            try:
                async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
                    answer = await http.post(f"{self.api_url}/api/jobs/{job.job_id}/{action}", json={})
                if answer.status_code < 400:
                    self.say(f"{action}: {answer.json().get('message')}")
                    found: dict[str, Any] = answer.json()
                    return found
                if may_refuse and answer.status_code in (404, 409, 422):
                    self.say(f"{action}: {answer.text[:200]}")
                    return {}
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
