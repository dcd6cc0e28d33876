"""One Darkroom on a time-skipping server: real records and files, a scripted provider."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from pydantic import JsonValue
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowHandle
from temporalio.worker import Interceptor
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from darkroom.bootstrap import Parts, open_parts
from darkroom.client.jobs import Client
from darkroom.domain.jobs import JobRow, NewJob
from darkroom.domain.names import LOCAL_USER, job_workflow_id
from darkroom.domain.receipts import Receipt
from darkroom.providers import ImageProvider
from darkroom.records.sqlite import SqliteRecords
from darkroom.settings import Settings
from darkroom.storage import Storage
from darkroom.webhooks.egress_policy import Resolver
from tests.support.children import SHARED
from tests.support.fakes.scripted import ScriptedProvider
from tests.support.until import until
from worker import running_workers
from workflows.pipeline_job import PipelineJobWorkflow

OPENING_BALANCE = 100_000
PRICE = 20
PATIENCE = 20.0


@dataclass
class WorkflowStack:
    """What a test holds in its hand."""

    parts: Parts
    provider: ScriptedProvider
    temporal: TemporalClient
    client: Client
    user_id: UUID | None = LOCAL_USER
    jobs: list[UUID] = field(default_factory=list)

    async def order(self, *quantities: int, **extra: Any) -> UUID:
        """Submit an order with a stage per quantity."""
        document = {"stages": [{"prompt": f"stage {n}", "quantity": q} for n, q in enumerate(quantities)], **extra}
        job_id = uuid4()
        await self.client.submit(await self.client.check(document, self.user_id), job_id=job_id)
        self.jobs.append(job_id)
        return job_id

    async def held(self, *quantities: int, calls: int, **extra: Any) -> UUID:
        """Submit an order whose calls the provider holds, and wait until so many have begun."""
        self.provider.gate.clear()
        job_id = await self.order(*quantities, **extra)
        await self.provider.until_calls(calls)
        return job_id

    async def stored(self, document: Mapping[str, JsonValue], webhook_url: str | None = None) -> UUID:
        """A pending job that no workflow has been started for, as a front end inserts it."""
        job_id = uuid4()
        job = NewJob(
            job_id=job_id,
            job_type="pipeline_stage",
            user_id=self.user_id,
            production_id=None,
            document=dict(document),
            total_images=2,
            priority=3,
            webhook_url=webhook_url,
        )
        assert await self.parts.records.create_job(job)
        return job_id

    def handle(self, job_id: UUID) -> WorkflowHandle[PipelineJobWorkflow, Receipt]:
        """The job's workflow."""
        return self.temporal.get_workflow_handle_for(PipelineJobWorkflow.run, job_workflow_id(job_id))

    async def row(self, job_id: UUID) -> JobRow:
        """The job's row."""
        return await self.client.job(job_id)

    async def until_row(
        self, job_id: UUID, condition: Callable[[JobRow], bool], what: str, seconds: float = PATIENCE
    ) -> None:
        """Wait until the job's row is so."""

        async def so() -> bool:
            return condition(await self.row(job_id))

        await until(so, what, seconds)

    async def until_paused(self, job_id: UUID, seconds: float = PATIENCE) -> None:
        """Wait until the job's row says that it is paused."""
        await self.until_row(job_id, lambda row: row.paused, "the pause on the row", seconds)

    async def until_cancelling(self, job_id: UUID) -> None:
        """Wait until the job's row says that it is to be cancelled: from then on no call begins."""
        await self.until_row(job_id, lambda row: row.cancel_requested, "the flag on the row")

    async def end_of(self, job_id: UUID) -> Receipt:
        """Let go of what is held, and give the receipt of the run, which must end long before the test's time limit."""
        self.provider.gate.set()
        try:
            return await asyncio.wait_for(self.client.result(job_id), PATIENCE)
        except TimeoutError:
            raise AssertionError(f"the job did not end within {PATIENCE} s") from None

    async def balance(self) -> int:
        """The user's credits."""
        account = await self.parts.records.account(LOCAL_USER)
        assert account is not None
        return account.balance

    async def check_invariants(self) -> None:
        """Spec §4: the records agree with themselves, and with the files."""
        assert await self.parts.records.audit() == []
        for image in await self.parts.records.delivered_images(None, 0, 10_000):
            assert await self.parts.storage.exists(image.path), image.path
        account = await self.parts.records.account(LOCAL_USER)
        assert account is not None
        assert account.held == 0


@asynccontextmanager
async def running_stack(
    temporal: TemporalClient,
    home: Path,
    provider: ScriptedProvider | None = None,
    *,
    providers: Mapping[str, ImageProvider] | None = None,
    interceptors: Sequence[Interceptor] = (),
    opening_balance: int = OPENING_BALANCE,
    resolver: Resolver | None = None,
    storage: Storage | None = None,
    without_workers: bool = False,
    **settings: Any,
) -> AsyncIterator[WorkflowStack]:
    """Records in memory, files in `home`, workers of all roles.

    Queues are named in the workflows, so one server serves one stack of workers at a time, unless the
    client's namespace differs; jobs of several stacks must not be mixed on one namespace.
    """
    provider = provider or ScriptedProvider()
    chosen = Settings(_env_file=None, darkroom_home=home, **{"image_provider": "offline", **settings})
    records = SqliteRecords(":memory:", chosen.cancelled_status)
    async with open_parts(
        chosen,
        records=records,
        storage=storage,
        providers=providers or {"offline": provider},
        resolver=resolver,
        children=SHARED,
    ) as parts:
        await records.ensure_member(LOCAL_USER, opening_balance)
        stack = WorkflowStack(parts=parts, provider=provider, temporal=temporal, client=parts.client(temporal))
        if without_workers:
            yield stack
            return
        async with running_workers(parts, temporal, interceptors=interceptors, runner=SandboxedWorkflowRunner()):
            yield stack
