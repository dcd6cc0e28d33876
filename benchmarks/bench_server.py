"""Where it is measured: the real embedded server in a temporary folder, workers in their own processes."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

from temporalio.client import Client as TemporalClient
from temporalio.contrib.pydantic import pydantic_data_converter

from benchmarks import bare_workflow as bare
from benchmarks.calls import WARM_UP, BenchProvider
from benchmarks.memory import peak_bytes
from benchmarks.peers.steps import charged
from benchmarks.projects import ProjectKey, records_in
from benchmarks.usage import cpu_seconds
from benchmarks.work import Work
from benchmarks.worker_process import Kind, Setup, bench_settings
from darkroom.bootstrap import Parts, open_parts
from darkroom.domain.model import Value
from darkroom.domain.names import LOCAL_USER, job_workflow_id
from darkroom.domain.receipts import Receipt
from darkroom.domain.stored import DeliveredImage
from darkroom.embedded.server import embedded_server

ENOUGH_CREDITS = 10_000_000
START_PATIENCE = 60.0
STOP_PATIENCE = 30.0

_numbers = count()


class Run(Value):
    """One job, from the moment before it was submitted to the moment its result was here."""

    images: int
    seconds: float
    first_call: float
    """Seconds from submitting to the first provider call."""
    events: int = 0
    """Of the job's workflow and all its children."""
    history_bytes: int = 0
    most_events: int = 0
    """Of one workflow."""
    exact: bool = True
    """Delivered, recorded, charged and stored: the number ordered."""
    worker_cpu: float = 0.0
    """Seconds of processor time of the worker and its children."""
    server_cpu: float = 0.0
    """Of the Temporal server."""

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def cpu_each(self) -> float:
        """Milliseconds of processor time per image, of worker and server."""
        return 1000 * (self.worker_cpu + self.server_cpu) / self.images


@dataclass(frozen=True)
class WorkerProcess:
    """A running worker."""

    setup: Setup
    pid: int

    @property
    def peak_bytes(self) -> int:
        """The most memory it has had."""
        return peak_bytes(self.pid)

    def first_call(self, label: str) -> float:
        """When the job with this label made its first call."""
        return float((self.setup.first_calls / label).read_text("ascii"))

    def last_call(self, label: str) -> float:
        """When the job with this label began its last call, if its label says that this is noted."""
        return float((self.setup.first_calls / f"{label}.last").read_text("ascii"))


@dataclass(frozen=True)
class BenchServer:
    """A running server and our side of it."""

    home: Path
    address: str
    temporal: TemporalClient
    parts: Parts
    pid: int
    """The Temporal server's."""
    project: ProjectKey | None = None

    @asynccontextmanager
    async def worker(
        self, kind: Kind, work: Work, *, works: bool = False, answers_at: str | None = None
    ) -> AsyncIterator[WorkerProcess]:
        """A worker process that is ready when this is entered, and gone when it is left."""
        setup = Setup(
            kind=kind,
            home=self.home,
            address=self.address,
            work=work,
            works=works,
            project=self.project,
            answers_at=answers_at,
        )
        with (self.home / f"worker-{kind}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.worker_process", setup.model_dump_json()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_PATIENCE):
                if await process.stdout.readline() != b"ready\n":
                    raise RuntimeError(f"the {kind} worker did not start; see {log.name}")
            yield WorkerProcess(setup, process.pid)
        finally:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), STOP_PATIENCE)
            except TimeoutError:
                process.kill()
                await process.wait()

    async def run(
        self,
        worker: WorkerProcess,
        work: Work,
        *,
        warm_up: bool = False,
        on_result: Callable[[], None] = lambda: None,
    ) -> Run:
        """Have a worker do a job, and look at what it left.

        Args:
            worker: whose work it is; the only one of its kind.
            work: the job.
            warm_up: calls take no time.
            on_result: called when the result is here, before anything is looked at.
        """
        label = f"{WARM_UP if warm_up else 'job'}-{next(_numbers)}"
        begun = cpu_seconds(worker.pid), cpu_seconds(self.pid)
        submitted, began = time.time(), time.perf_counter()
        workflow_id, exact = await self._do(worker.setup, work, label)
        taken = time.perf_counter() - began
        run = Run(
            images=work.total,
            seconds=taken,
            first_call=worker.first_call(label) - submitted,
            worker_cpu=cpu_seconds(worker.pid) - begun[0],
            server_cpu=cpu_seconds(self.pid) - begun[1],
        )
        on_result()
        run = run.model_copy(update={"exact": await exact()})
        return await self._with_history(run, workflow_id)

    async def run_many(self, worker: WorkerProcess, work: Work, jobs: int, at_once: int) -> Run:
        """So many jobs, a number of them at once and the next ones when all of these have ended; without history."""
        begun = cpu_seconds(worker.pid), cpu_seconds(self.pid)
        began = time.perf_counter()
        checks = []
        for first in range(0, jobs, at_once):
            labels = [f"job-{next(_numbers)}" for _ in range(min(at_once, jobs - first))]
            done = await asyncio.gather(*(self._do(worker.setup, work, label) for label in labels))
            checks += [exact for _, exact in done]
        run = Run(
            images=jobs * work.total,
            seconds=time.perf_counter() - began,
            first_call=0.0,
            worker_cpu=cpu_seconds(worker.pid) - begun[0],
            server_cpu=cpu_seconds(self.pid) - begun[1],
        )
        return run.model_copy(update={"exact": all([await exact() for exact in checks])})

    async def _do(self, setup: Setup, work: Work, label: str) -> tuple[str, Callable[[], Awaitable[bool]]]:
        """Do a job; the id of its workflow, and what tells whether it was done exactly."""
        return await (self._darkroom if setup.kind is Kind.DARKROOM else self._bare)(setup, work, label)

    async def _darkroom(self, _: Setup, work: Work, label: str) -> tuple[str, Callable[[], Awaitable[bool]]]:
        job_id = uuid4()
        client = self.parts.client(self.temporal)
        stage = {"prompt": label, "quantity": work.images, "format": work.format}
        checked = await client.check({"stages": [stage] * work.stages}, LOCAL_USER)
        await client.submit(checked, job_id=job_id)
        receipt = await client.result(job_id)
        return job_workflow_id(job_id), partial(self.is_exact, job_id, receipt, work.total)

    async def _bare(self, setup: Setup, work: Work, label: str) -> tuple[str, Callable[[], Awaitable[bool]]]:
        job = bare.BareJob(label=label, stages=work.stages, images=work.images)
        done = await self.temporal.execute_workflow(
            bare.BareJobWorkflow.run, job, id=f"bare-{label}", task_queue=bare.ORCHESTRATE
        )

        async def exact() -> bool:
            return (charged(setup.kept, label) if setup.works else done) == work.total

        return f"bare-{label}", exact

    async def is_exact(self, job_id: UUID, receipt: Receipt, total: int) -> bool:
        """Whether so many pictures were delivered, charged and stored, and the records agree with themselves."""
        return await self.delivered_exactly(job_id, receipt, total) and not await self.parts.records.audit()

    async def delivered_exactly(self, job_id: UUID, receipt: Receipt, total: int) -> bool:
        """Whether so many pictures were delivered, charged and stored; without the audit of all records."""
        images: list[DeliveredImage] = []
        after = 0
        while page := await self.parts.records.delivered_images(job_id, after, 1_000):
            images += page
            after = page[-1].attach_id
        stored = [image for image in images if await self.parts.storage.exists(image.path)]
        places = {(image.stage_index, image.ordinal) for image in images}
        counts = {receipt.delivered, receipt.total.charged // receipt.unit_price, len(images), len(stored), len(places)}
        return counts == {total}

    async def _with_history(self, run: Run, workflow_id: str) -> Run:
        lengths, sizes = await self.histories(workflow_id)
        return run.model_copy(update={"events": sum(lengths), "history_bytes": sum(sizes), "most_events": max(lengths)})

    async def histories(self, workflow_id: str) -> tuple[list[int], list[int]]:
        """Events and bytes of a workflow's history, and of each of its children's."""
        history = self.temporal.get_workflow_handle(workflow_id).fetch_history_events()
        begun = [event.child_workflow_execution_started_event_attributes async for event in history]
        children = [each.workflow_execution.workflow_id for each in begun if each.HasField("workflow_execution")]
        seen = [await self.temporal.get_workflow_handle(each).describe() for each in (workflow_id, *children)]
        sizes = [each.raw_description.workflow_execution_info.history_size_bytes for each in seen]
        return [each.history_length for each in seen], sizes


@asynccontextmanager
async def bench_server(home: Path, project: ProjectKey | None = None) -> AsyncIterator[BenchServer]:
    """A server on free ports, and a user who can pay for everything."""
    settings = bench_settings(home)
    async with embedded_server(settings, port=0, ui_port=0) as server:
        temporal = await TemporalClient.connect(server.address, data_converter=pydantic_data_converter)
        provider = BenchProvider(Work(stages=1, images=1), home)
        records = await records_in(project)
        async with open_parts(settings, providers={"offline": provider}, records=records) as parts:
            await parts.records.ensure_member(LOCAL_USER, ENOUGH_CREDITS)
            yield BenchServer(
                home=home,
                address=server.address,
                temporal=temporal,
                parts=parts,
                pid=server.pid,
                project=project,
            )
