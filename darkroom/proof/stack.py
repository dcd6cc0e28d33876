"""One Darkroom of a run: its processes, its jobs, and what can be read and asked of them."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID, uuid4

import httpx
from temporalio.client import Client as TemporalClient

from darkroom.bootstrap import Parts
from darkroom.domain.names import LOCAL_USER
from darkroom.proof.marks import prompt_mark
from darkroom.proof.processes import Process
from darkroom.proof.site import OPENING_BALANCE, Ordered, Site
from darkroom.records.images import ImageRecords
from darkroom.records.money import MoneyRecords

STEERS_WITHIN = 60.0


class LateRecords(ImageRecords, MoneyRecords, Protocol):
    """What a worker that comes back late writes to."""


@dataclass(kw_only=True)
class Stack(Site):
    """What a scenario holds in its hand."""

    temporal_server: Process
    temporal: TemporalClient
    api: Process
    parts: Parts
    api_url: str
    late: LateRecords | None = None
    """Records as a proof's own workers see them."""

    @property
    def late_records(self) -> LateRecords:
        """What a worker that comes back late would write to."""
        return self.late or self.parts.records

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
