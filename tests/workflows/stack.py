"""One Darkroom on a time-skipping server: real records and files, a scripted provider."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowHandle
from temporalio.worker import Interceptor

from darkroom.bootstrap import Parts, open_parts
from darkroom.client.jobs import Client
from darkroom.domain.jobs import JobRow
from darkroom.domain.names import LOCAL_USER, job_workflow_id
from darkroom.domain.receipts import Receipt
from darkroom.providers import ImageProvider
from darkroom.records.sqlite import SqliteRecords
from darkroom.settings import Settings
from darkroom.webhooks.egress_policy import Resolver
from tests.workflows.scripted import ScriptedProvider
from worker import running_workers
from workflows.pipeline_job import PipelineJobWorkflow

OPENING_BALANCE = 100_000
PRICE = 20


@dataclass
class Stack:
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

    def handle(self, job_id: UUID) -> WorkflowHandle[PipelineJobWorkflow, Receipt]:
        """The job's workflow."""
        return self.temporal.get_workflow_handle_for(PipelineJobWorkflow.run, job_workflow_id(job_id))

    async def row(self, job_id: UUID) -> JobRow:
        """The job's row."""
        return await self.client.job(job_id)

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


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 20) -> None:
    """Wait for a condition that only reading can tell."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s in vain for: {what}") from None


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
    **settings: Any,
) -> AsyncIterator[Stack]:
    """Records in memory, files in `home`, workers of all roles.

    Queues are named in the workflows, so one server serves one stack of workers at a time, unless the
    client's namespace differs; jobs of several stacks must not be mixed on one namespace.
    """
    provider = provider or ScriptedProvider()
    chosen = Settings(_env_file=None, darkroom_home=home, **{"image_provider": "offline", **settings})
    records = SqliteRecords(":memory:")
    async with open_parts(
        chosen, records=records, providers=providers or {"offline": provider}, resolver=resolver
    ) as parts:
        await records.ensure_member(LOCAL_USER, opening_balance)
        async with running_workers(parts, temporal, interceptors=interceptors):
            yield Stack(parts=parts, provider=provider, temporal=temporal, client=parts.client(temporal))
