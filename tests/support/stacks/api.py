"""The API over real HTTP: uvicorn, Temporal's server, workers, SQLite and files; a scripted provider draws."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
import uvicorn
from starlette.types import ASGIApp
from temporalio.client import Client as TemporalClient

from darkroom.api.app import make_app
from darkroom.api.public_urls import PublicUrls
from darkroom.api.server import listening, server_config
from darkroom.api.services import Services, put_together
from darkroom.bootstrap import Parts, open_parts
from darkroom.counting.sqlite import SqliteCounters
from darkroom.domain.jobs import NewJob
from darkroom.domain.keys import NewApiKey, hash_of, new_secret
from darkroom.domain.names import LOCAL_USER
from darkroom.embedded.address import ADDRESS_FILE
from darkroom.settings import Settings
from tests.support.children import SHARED
from tests.support.fakes.scripted import ScriptedProvider
from tests.support.until import until
from worker import running_workers

OPENING_BALANCE = 100_000
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    name: str
    id: str
    data: Any


@dataclass
class ApiStack:
    """What a test holds in its hand."""

    url: str
    http: httpx.AsyncClient
    parts: Parts
    services: Services
    provider: ScriptedProvider
    temporal: TemporalClient
    jobs: list[UUID] = field(default_factory=list)

    @property
    def urls(self) -> PublicUrls:
        """The URLs in answers to who comes without a prefix."""
        return PublicUrls("", self.services.addresses)

    async def order(self, *quantities: int, **more: Any) -> UUID:
        """Order a stage per quantity."""
        stages = [{"prompt": f"stage {n}", "quantity": q} for n, q in enumerate(quantities)]
        answer = await self.http.post("/api/jobs", json={"stages": stages, **more})
        assert answer.status_code == 202, answer.text
        self.jobs.append(UUID(answer.json()["job_id"]))
        return self.jobs[-1]

    async def written(self, document: dict[str, Any], user_id: UUID = LOCAL_USER, org_id: UUID | None = None) -> UUID:
        """A pending job as a front end writes it down itself, past our own check."""
        job_id = uuid4()
        job = NewJob(
            job_id=job_id,
            job_type="pipeline_stage",
            user_id=user_id,
            org_id=org_id,
            production_id=None,
            document=document,
            total_images=1,
            priority=3,
        )
        assert await self.parts.records.create_job(job)
        return job_id

    async def ended(self, job_id: UUID, seconds: float = 30) -> dict[str, Any]:
        """Wait for a job's end; gives the job."""

        async def so() -> bool:
            row = await self.parts.records.job(job_id)
            return row is not None and row.status.ended

        await until(so, f"the end of job {job_id}", seconds)
        return await self.job(job_id)

    async def job(self, job_id: UUID) -> dict[str, Any]:
        """The job as the API tells it."""
        answer = await self.http.get(f"/api/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    async def events(self, job_id: UUID, last_event_id: str | None = None) -> AsyncIterator[Event]:
        """Follow a job until its stream ends."""
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        async with self.http.stream("GET", f"/api/jobs/{job_id}/events", headers=headers, timeout=30) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for event in parsed(lines_of(answer)):
                yield event

    async def key(self, user_id: UUID, *, operator: bool = False) -> str:
        """A key of a user, who is made a member."""
        await self.parts.records.ensure_member(user_id, OPENING_BALANCE)
        secret = new_secret()
        await self.parts.records.add_api_key(
            NewApiKey(key_id=uuid4(), user_id=user_id, name="test", operator=operator, key_hash=hash_of(secret))
        )
        return secret

    def as_user(self, secret: str) -> dict[str, str]:
        """The header of a key or token."""
        return {"Authorization": f"Bearer {secret}"}

    async def finish(self) -> None:
        """Let every job end, so that the next test finds no work of this one."""
        self.provider.gate.set()
        client = self.parts.client(self.temporal)
        rows = await self.parts.records.unfinished_jobs()
        for row in rows:
            await client.cancel(row.job_id)
        for row in rows:
            await self.ended_row(row.job_id)

    async def ended_row(self, job_id: UUID) -> None:
        """Wait for a job's end in the records."""

        async def so() -> bool:
            row = await self.parts.records.job(job_id)
            return row is not None and row.status.ended

        await until(so, f"the end of job {job_id}")


def is_a_problem(answer: httpx.Response) -> None:
    """Hold an error to what every error must be."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert {"type", "title", "code", "detail", "retryable"} <= problem.keys()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def lines_of(answer: httpx.Response) -> AsyncIterator[str]:
    """The lines of a stream as a browser finds them: httpx takes other signs for line breaks too."""
    rest = ""
    async for text in answer.aiter_text():
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line


async def parsed(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """The events of a stream, comments left out."""
    found: dict[str, str] = {}
    async for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            found[name] = value.removeprefix(" ")
        elif "event" in found:
            yield Event(found["event"], found["id"], json.loads(found["data"]))
            found = {}
        else:
            found = {}


@asynccontextmanager
async def serving(services: Services) -> AsyncIterator[str]:
    """The API on a free port of this machine; gives its address."""
    app = make_app(services)
    async with serving_app(app, config=server_config(app, services.parts.settings)) as url:
        try:
            yield url
        finally:
            await services.close()
    await services.counting.close()


@asynccontextmanager
async def serving_app(
    app: ASGIApp,
    *,
    root_path: str = "",
    lifespan: Literal["on", "off"] = "on",
    config: uvicorn.Config | None = None,
) -> AsyncIterator[str]:
    """Any application on a free port of this machine; gives its address."""
    with listening(HOST, 0) as sock:
        plain = uvicorn.Config(app, log_config=None, access_log=False, lifespan=lifespan, root_path=root_path)
        server = uvicorn.Server(config or plain)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # pytest's own stay
        task = asyncio.create_task(server.serve([sock]))

        async def started() -> bool:
            return server.started or task.done()

        await until(started, "the API to listen")
        assert server.started, "the application did not start"
        try:
            yield f"http://{HOST}:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, 10)


@asynccontextmanager
async def running_api(
    temporal: TemporalClient,
    home: Path,
    *,
    workers: bool = True,
    provider: ScriptedProvider | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AsyncIterator[ApiStack]:
    """Everything, in this process; records and files in `home`."""
    address = temporal.service_client.config.target_host
    (home / ADDRESS_FILE).write_text(json.dumps({"address": address, "ui_url": "http://127.0.0.1:8233", "pid": 1}))
    given = {"image_provider": ("offline",), **(settings or {})}
    chosen = Settings(_env_file=None, darkroom_home=home, **given)
    provider = provider or ScriptedProvider()
    async with open_parts(chosen, providers={"offline": provider}, children=SHARED) as parts:
        await parts.records.ensure_member(LOCAL_USER, OPENING_BALANCE)
        services = put_together(parts, SqliteCounters(parts.settings.darkroom_home))
        async with (
            serving(services) as url,
            httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=False) as http,
        ):
            api = ApiStack(url, http, parts, services, provider, temporal)
            if not workers:
                yield api
                return
            async with running_workers(parts, temporal):
                yield api
                await api.finish()
