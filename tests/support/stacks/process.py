"""One Darkroom in real processes: Temporal's dev server, a worker; SQLite and files, or a Supabase project."""

import asyncio
import contextlib
import io
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from PIL import Image
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowHandle

from darkroom.bootstrap import Parts, open_parts
from darkroom.client.connection import connect
from darkroom.client.jobs import Client
from darkroom.domain.jobs import JobRow
from darkroom.domain.names import job_workflow_id, staging_key, staging_prefix
from darkroom.domain.receipts import Receipt
from darkroom.proof.invariants import broken
from darkroom.settings import Settings
from tests.support.commands import ROOT, Ended, run, starter
from tests.support.programs import temporal_binary
from tests.support.records.reading import FileTables, ProjectTables, Reading
from tests.support.stacks.temporal_server import TemporalServer
from tests.support.stacks.worker_process import WorkerProcess
from tests.support.supabase.local import LocalSupabase
from tests.support.until import until
from workflows.pipeline_job import PipelineJobWorkflow

OPENING_BALANCE = 100_000
PRICE = 20


@dataclass
class ProcessStack:
    """What a test holds in its hand."""

    home: Path
    server: TemporalServer
    worker: WorkerProcess
    parts: Parts
    temporal: TemporalClient
    client: Client
    records: Reading
    user: UUID
    environment: Mapping[str, str]
    """What processes of it find in theirs."""
    jobs: list[UUID] = field(default_factory=list)
    _others: list[WorkerProcess] = field(default_factory=list)

    async def order(self, *quantities: int, **extra: Any) -> UUID:
        """Submit an order with a stage per quantity."""
        stages = [{"prompt": f"stage {n}", "quantity": q} for n, q in enumerate(quantities)]
        return await self.submit({"stages": stages, **extra})

    async def submit(self, document: Mapping[str, Any]) -> UUID:
        """Submit an order of any kind."""
        job_id = uuid4()
        await self.client.submit(await self.client.check(dict(document), self.user), job_id=job_id)
        self.jobs.append(job_id)
        return job_id

    def another_worker(self) -> WorkerProcess:
        """One more worker, to be started by the test; killed at the end."""
        home = self.home / f"another-{len(self._others)}"
        home.mkdir()
        self._others.append(WorkerProcess(home, self.environment))
        return self._others[-1]

    async def is_staged(self, job_id: UUID, stage_index: int, ordinal: int) -> bool:
        """Whether any call has left bytes of this image in staging."""
        calls = staging_key(job_id, stage_index, ordinal) + "-"
        return any(key.startswith(calls) for key in await self.parts.storage.keys(staging_prefix(job_id)))

    async def kill_workers(self) -> None:
        """SIGKILL all of them."""
        for worker in (self.worker, *self._others):
            await worker.kill()

    def open_gate(self, below: int) -> None:
        """Let the gated provider answer for the ordinals below this one."""
        temporary = self.home / "gate.new"
        temporary.write_text(str(below), "utf-8")
        temporary.replace(self.home / "gate")

    def handle(self, job_id: UUID) -> WorkflowHandle[PipelineJobWorkflow, Receipt]:
        """The job's workflow."""
        return self.temporal.get_workflow_handle_for(PipelineJobWorkflow.run, job_workflow_id(job_id))

    async def row(self, job_id: UUID) -> JobRow:
        """The job's row."""
        return await self.client.job(job_id)

    async def until_row(self, job_id: UUID, condition: Callable[[JobRow], bool], what: str, seconds: float) -> float:
        """Wait until the job's row is so; gives the seconds it took."""

        async def so() -> bool:
            return condition(await self.row(job_id))

        return await until(so, what, seconds)

    async def receipt(self, job_id: UUID, seconds: float = 40) -> Receipt:
        """Wait for the end of the job and give its receipt."""
        await self.until_row(job_id, lambda row: row.status.ended, "the end of the job", seconds)
        return await asyncio.wait_for(self.handle(job_id).result(), 10)

    async def temporal_cli(self, *arguments: str, job_id: UUID | None = None) -> Any:
        """Run Temporal's own command line; gives what it answers."""
        words = ["workflow", *arguments, "--address", self.server.address, "-o", "json"]
        if job_id is not None:
            words += ["--workflow-id", job_workflow_id(job_id)]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        ended = await run(temporal_binary(), *words, environment=environment, seconds=15)
        assert ended.status == 0, ended.err
        with contextlib.suppress(ValueError):
            return json.loads(ended.out)
        return ended.out

    async def starter(self, *arguments: str) -> Ended:
        """Run a command of `starter.py`."""
        return await starter(*arguments, environment=self.environment)

    async def balance(self) -> int:
        """The user's credits."""
        account = await self.parts.records.account(self.user)
        assert account is not None
        return account.balance

    async def check_invariants(self) -> None:
        """Spec §4 for a Darkroom without running jobs: records, files and money agree."""
        assert await self.parts.records.audit() == []
        assert broken(await self.records.dump()) == []
        delivered = 0
        for image in await self.parts.records.delivered_images(None, 0, 100_000):
            delivered += 1
            data = await self.parts.storage.get(image.path)
            assert data is not None, image.path
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                assert picture.format == "WEBP"
        account = await self.parts.records.account(self.user)
        assert account is not None
        assert account.held == 0
        assert account.balance == OPENING_BALANCE - PRICE * delivered
        for job_id in self.jobs:
            assert await self.parts.storage.keys(f"staging/{job_id}") == []


def environment_of(home: Path, server: TemporalServer, supabase: LocalSupabase | None = None) -> dict[str, str]:
    """The whole environment of a process that belongs to a Darkroom."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "DARKROOM_HOME": str(home),
        "TEMPORAL_ADDRESS": server.address,
        "IMAGE_PROVIDER": "offline",
        **(supabase.environment if supabase else {}),
    }


@asynccontextmanager
async def running_darkroom(
    home: Path, supabase: LocalSupabase | None = None, *, user: UUID | None = None
) -> AsyncIterator[ProcessStack]:
    """Server, records and storage; the worker is there to be started by the test.

    Args:
        home: the folder for everything, or for all that is not in the project.
        supabase: a migrated project with empty tables; without it, SQLite and files.
        user: a member who is there already; without one, a new member orders.
    """
    server = TemporalServer(home)
    environment = environment_of(home, server, supabase)
    where: dict[str, Any] = {name.lower(): value for name, value in (supabase.environment if supabase else {}).items()}
    settings = Settings(_env_file=None, darkroom_home=home, image_provider="offline", **where)
    user = user or settings.local_user or uuid4()
    os.environ["TEMPORAL_ADDRESS"] = server.address
    async with AsyncExitStack() as cleanup:
        cleanup.callback(os.environ.pop, "TEMPORAL_ADDRESS")
        cleanup.push_async_callback(server.kill)
        await server.start()
        temporal = await connect(settings)
        parts = await cleanup.enter_async_context(open_parts(settings))
        await parts.records.ensure_member(user, OPENING_BALANCE)
        tables = ProjectTables(supabase.project.database_uri) if supabase else FileTables(home / "records.db")
        records = Reading(tables)
        cleanup.callback(records.close)
        worker = WorkerProcess(home, environment)
        darkroom = ProcessStack(
            home, server, worker, parts, temporal, parts.client(temporal), records, user, environment
        )
        cleanup.push_async_callback(darkroom.kill_workers)
        yield darkroom
