"""One Darkroom in real processes: Temporal's dev server, a worker; SQLite and files, or a Supabase project."""

import asyncio
import contextlib
import io
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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
from darkroom.domain.names import job_workflow_id
from darkroom.domain.receipts import Receipt
from darkroom.embedded.server import HOST, ServerProcess
from darkroom.settings import Settings
from tests.support.programs import temporal_binary
from tests.support.records.invariants import broken
from tests.support.records.reading import FileTables, ProjectTables, Reading
from tests.support.supabase.local import LocalSupabase
from tests.support.until import until
from workflows.pipeline_job import PipelineJobWorkflow

ROOT = Path(__file__).parents[3]
OPENING_BALANCE = 100_000
PRICE = 20
PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections: a server that is killed finds its port free again."""


@dataclass(frozen=True)
class Ended:
    """What a program left."""

    status: int
    out: str
    err: str


async def run(*command: str, environment: Mapping[str, str], seconds: float) -> Ended:
    """Run a program with exactly this environment; it must end in time."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), seconds)
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


async def starter(*arguments: str, environment: Mapping[str, str]) -> Ended:
    """Run a command of `starter.py`."""
    return await run(sys.executable, str(ROOT / "starter.py"), *arguments, environment=environment, seconds=20)


class TemporalServer:
    """The dev server on its own file: killed, it goes on where it was."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ports = free_ports(2)
        self._process: asyncio.subprocess.Process | None = None
        self.address = f"{HOST}:{self._ports[0]}"

    async def start(self) -> None:
        running = ServerProcess(self._home, *self._ports)
        await running.until_it_answers(await running.start())
        self._process = running.process

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class WorkerProcess:
    """A worker in its own process, its log in a file."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._starts = 0

    @property
    def log_file(self) -> Path:
        """What the worker that was started last wrote."""
        return self._home / f"worker-{self._starts}.log"

    async def start(
        self, settings: Mapping[str, object], *, program: Sequence[str] = ("worker.py",), wait: bool = True
    ) -> None:
        """Start it; settings are given by their names in the environment."""
        self._starts += 1
        arguments = [str(ROOT / program[0]), *program[1:]] if program[0].endswith(".py") else list(program)
        environment = {
            **self._environment,
            "DARKROOM_HOME": str(self._home),
            "OFFLINE_SIZE": "64x64",
            "LOG_FORMAT": "json",
            **{name: str(value) for name, value in settings.items()},
        }
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=self._home, env=environment, stdout=log, stderr=log
            )
        if wait:
            await until(self._has_started, "the worker to start", 30)

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self, seconds: float = 30) -> int:
        """SIGTERM; gives the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), seconds)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of this event, of the worker that was started last."""
        return _events(self.log_file, name)

    def all_events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of this event, of this worker and of those that it replaced."""
        return [event for log in sorted(self._home.glob("worker-*.log")) for event in _events(log, name)]

    async def _has_started(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.log_file.read_text("utf-8")
        return bool(self.events("worker started"))


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

    async def kill_workers(self) -> None:
        """SIGKILL all of them."""
        for worker in (self.worker, *self._others):
            await worker.kill()

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
async def running_darkroom(home: Path, supabase: LocalSupabase | None = None) -> AsyncIterator[ProcessStack]:
    """Server, records and storage; the worker is there to be started by the test.

    Args:
        home: the folder for everything, or for all that is not in the project.
        supabase: a migrated project with empty tables; without it, SQLite and files.
    """
    server = TemporalServer(home)
    environment = environment_of(home, server, supabase)
    where: dict[str, Any] = {name.lower(): value for name, value in (supabase.environment if supabase else {}).items()}
    settings = Settings(_env_file=None, darkroom_home=home, image_provider="offline", **where)
    user = settings.local_user or uuid4()
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


def _events(log: Path, name: str) -> list[dict[str, Any]]:
    lines = log.read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return [line for line in found if line.get("event") == name]


def free_ports(number: int) -> list[int]:
    """Ports that nobody has now and that no outgoing connection takes."""
    found: list[int] = []
    while len(found) < number:
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            found.append(port)
    return found
