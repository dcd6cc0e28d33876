"""The client, as a program uses it: follow a job, fetch what it delivered."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image
from temporalio import activity
from temporalio.client import Client as TemporalClient
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from darkroom.bootstrap import open_parts
from darkroom.client.jobs import Client
from darkroom.client.results import ProgressReading
from darkroom.domain.errors import FileMissing, JobNotFound, NotPossibleNow
from darkroom.domain.jobs import NewJob
from darkroom.domain.names import OPENING_CREDITS
from darkroom.domain.progress import JobStatus, Progress
from darkroom.records.sqlite import SqliteRecords
from darkroom.settings import Settings
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.workflow import running_stack
from tests.support.until import until
from worker import running_workers

EVERY = 0.02


async def followed(client: Client, job_id: UUID) -> list[ProgressReading]:
    """All changes to the end."""
    return [reading async for reading in client.follow(job_id, every=EVERY)]


async def test_following_gives_each_change_once_and_ends_with_the_end(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider()
    provider.gate.clear()
    every_reading: list[Progress] = []
    async with running_stack(skipping_client, home, provider) as stack:
        job_id = await stack.order(3, 2)

        async def look_on() -> None:
            async for reading in stack.client.follow(job_id, every=EVERY, unchanged=True):
                every_reading.append(reading.progress)  # noqa: PERF401 - it is read while it grows

        changes, looking = asyncio.create_task(followed(stack.client, job_id)), asyncio.create_task(look_on())
        await provider.until_calls(5)
        await until(repeated(every_reading), "two equal readings while the provider stands still")
        provider.gate.set()
        states = [reading.progress.model_copy(update={"eta_seconds": None}) for reading in await changes]
        await looking
    assert all(before != after for before, after in pairwise(states))
    assert [state.status.ended for state in states] == [False] * (len(states) - 1) + [True]
    assert (states[-1].status, states[-1].completed_images) == (JobStatus.COMPLETED, 5)
    assert every_reading[-1].status is JobStatus.COMPLETED


def repeated(readings: list[Progress]) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return any(before == after for before, after in pairwise(readings))

    return so


async def test_what_was_delivered_comes_in_order_and_can_be_fetched(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        client = stack.client
        job_id = await stack.order(3, 2)
        assert (await followed(client, job_id))[-1].progress.completed_images == 5
        images = await client.images(job_id)
        assert [image.file_name for image in images] == [
            *(f"stage-0-{ordinal}.webp" for ordinal in range(3)),
            *(f"stage-1-{ordinal}.webp" for ordinal in range(2)),
        ]
        for image in images:
            with Image.open(io.BytesIO(await client.download(image))) as picture:
                assert picture.format == "WEBP"
        assert await client.receipt(job_id) == await client.result(job_id)
        await stack.parts.storage.delete([images[0].path])
        with pytest.raises(FileMissing, match=images[0].path):
            await client.download(images[0])


async def test_a_restarted_job_is_followed_from_its_new_run(skipping_client: TemporalClient, home: Path) -> None:
    settings = Settings(_env_file=None, darkroom_home=home, image_provider="offline")
    records = SqliteRecords(":memory:")
    async with open_parts(settings, records=records, providers={"offline": ScriptedProvider()}) as parts:
        client = parts.client(skipping_client)
        await client.open_local_account()
        new = NewJob(
            job_id=uuid4(),
            job_type="pipeline_stage",
            user_id=client.local_user,
            production_id=None,
            document={"stages": [{"prompt": "x", "quantity": 2}]},
            total_images=2,
            priority=3,
        )
        await records.create_job(new)
        assert (await client.cancel(new.job_id)).status is JobStatus.CANCELLED
        assert (await followed(client, new.job_id))[0].progress.status is JobStatus.CANCELLED
        with pytest.raises(NotPossibleNow, match="before it started"):
            await client.receipt(new.job_id)
        assert (await client.restart(new.job_id)).success
        # No worker runs yet, so the row still says `cancelled`.
        readings = asyncio.create_task(followed(client, new.job_id))
        async with running_workers(parts, skipping_client):
            statuses = [reading.progress.status for reading in await readings]
        assert JobStatus.CANCELLED not in statuses
        assert statuses[-1] is JobStatus.COMPLETED


class HeldActivity(Interceptor):
    """Holds one kind of activity before it begins."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Holding(next, self)


class _Holding(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, held: HeldActivity) -> None:
        super().__init__(following)
        self._held = held

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        if activity.info().activity_type == self._held.name:
            self._held.reached.set()
            await self._held.let_go.wait()
        return await super().execute_activity(input)


async def test_a_restarted_job_never_tells_of_fewer_pictures_than_it_has(
    skipping_client: TemporalClient, home: Path
) -> None:
    """Its workflow knows how many there are before it has read which."""
    provider = ScriptedProvider({(0, 1): [Act.MISS]})
    ids_read = HeldActivity("delivered_page")
    async with running_stack(skipping_client, home, provider, interceptors=[ids_read], max_top_ups=0) as stack:
        job_id = await stack.order(3)
        assert (await stack.end_of(job_id)).delivered == 2
        delivered = (await stack.row(job_id)).generated_attach_ids
        provider.gate.clear()
        await stack.client.restart(job_id)
        try:
            await asyncio.wait_for(ids_read.reached.wait(), 10)
            reading = await stack.client.progress(job_id)
        finally:
            ids_read.let_go.set()
        assert reading.source == "workflow"
        assert (reading.progress.completed_images, reading.progress.generated_attach_ids) == (2, delivered)
        assert [stage.attach_ids for stage in reading.progress.stages] == [delivered]
        assert (await stack.end_of(job_id)).delivered == 3


async def test_a_job_that_is_not_there_is_said_to_be_missing(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        for asked in (stack.client.job, stack.client.images, stack.client.receipt, stack.client.restart):
            with pytest.raises(JobNotFound):
                await asked(uuid4())
        with pytest.raises(JobNotFound):
            await followed(stack.client, uuid4())


async def test_the_local_user_has_an_opening_account_once_it_orders(
    skipping_client: TemporalClient, home: Path
) -> None:
    settings = Settings(_env_file=None, darkroom_home=home, image_provider="offline")
    records = SqliteRecords(":memory:")
    async with open_parts(settings, records=records) as parts:
        client = parts.client(skipping_client)
        assert client.local_user is not None
        checked = await client.check({"stages": [{"prompt": "x", "quantity": 1}]}, client.local_user)
        assert checked.account is not None
        assert (checked.account.available, checked.opens_account) == (OPENING_CREDITS, True)
        assert await records.account(client.local_user) is None
        job_id = (await client.submit(checked)).job_id
        assert await records.account(client.local_user) == checked.account
        assert (await client.cancel(job_id)).success
