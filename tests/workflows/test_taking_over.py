"""Runs that follow another: after a lost Temporal database, after a terminated workflow, beside a late clean-up."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import JsonValue
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy

from darkroom.domain.batches import RunRef
from darkroom.domain.images import UploadInput
from darkroom.domain.jobs import JobInput
from darkroom.domain.names import TaskQueue, batch_workflow_id, job_workflow_id, staging_prefix
from darkroom.domain.progress import JobStatus
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.watching import (
    Between,
    events,
    until_batches_ended,
    until_heard,
    without_time_skipping,
)
from tests.support.stacks.workflow import PRICE, WorkflowStack, running_stack
from tests.support.until import until
from workflows.pipeline_job import PipelineJobWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def take_over(stack: WorkflowStack, job_id: UUID, temporal: TemporalClient | None = None) -> None:
    """What `up` does for a job that is processing and whose workflow the server does not know."""
    await (temporal or stack.temporal).start_workflow(
        PipelineJobWorkflow.run,
        JobInput(job_id=job_id, restart=False),
        id=job_workflow_id(job_id),
        task_queue=TaskQueue.ORCHESTRATE,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


async def until_opened(stack: WorkflowStack, job_id: UUID) -> None:
    async def opened() -> bool:
        return (await stack.handle(job_id).query(PipelineJobWorkflow.progress)).status is JobStatus.PROCESSING

    await until(opened, "the new run to open the job")


async def until_staged(stack: WorkflowStack, job_id: UUID, pictures: int) -> None:
    async def staged() -> bool:
        return len(await stack.parts.storage.keys(staging_prefix(job_id))) == pictures

    await until(staged, f"{pictures} pictures in staging")


async def test_a_run_that_takes_over_keeps_the_pause_it_finds(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(4, calls=2)
        await stack.client.pause(job_id, "lunch")
        await until_heard(stack, job_id, "set_control", 1)
        await stack.handle(job_id).terminate("the server's database is lost")
        stack.provider.gate.set()
        await until_staged(stack, job_id, 2)

        await take_over(stack, job_id)
        await until_opened(stack, job_id)
        await until_heard(stack, job_id, "set_control", 1)
        seen = await stack.handle(job_id).query(PipelineJobWorkflow.progress)
        row = await stack.row(job_id)
        assert (seen.paused, seen.pause_reason) == (True, "lunch")
        assert (row.status, row.paused, row.pause_reason) == (JobStatus.PROCESSING, True, "lunch")
        assert stack.provider.total_calls == 2

        await stack.client.resume(job_id)
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 4)
        assert stack.provider.calls == {(0, n): 1 for n in range(4)}
        await stack.check_invariants()


async def test_a_run_that_takes_over_keeps_the_cancel_it_finds_and_delivers_what_is_paid_for(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(5, calls=2)
        await stack.client.cancel(job_id, "enough")
        await until_heard(stack, job_id, "set_control", 1)
        await stack.handle(job_id).terminate("the server's database is lost")
        stack.provider.gate.set()
        await until_staged(stack, job_id, 2)

        await take_over(stack, job_id)
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered, receipt.total.charged) == (JobStatus.CANCELLED, 2, 2 * PRICE)
        assert (stack.provider.total_calls, receipt.total.unknown_calls) == (2, 0)
        await stack.check_invariants()


async def test_a_run_that_takes_over_lifts_the_pause_of_a_spent_quota_when_it_is_back(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, 0): [Act.QUOTA]})
    provider.quota_until = datetime.now(UTC) + timedelta(hours=5)
    async with running_stack(without_time_skipping(skipping_client), home, provider, stage_concurrency=1) as stack:
        job_id = await stack.order(2)
        await until_heard(stack, job_id, "set_control", 1)
        assert (await stack.row(job_id)).pause_reason == "the daily quota is spent"
        await stack.handle(job_id).terminate("the server's database is lost")

        # Only the new run's time is skipped, so only it can see the quota come back.
        await take_over(stack, job_id, skipping_client)
        receipt = await stack.end_of(job_id)
        assert receipt.delivered == 2
        assert provider.calls == {(0, 0): 2, (0, 1): 1}
        await stack.check_invariants()


async def test_a_run_waits_for_the_child_of_the_run_before(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id, blocker = await _blocked(stack, 2)
        await blocker.terminate()
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered, receipt.total.top_up_rounds) == (JobStatus.COMPLETED, 2, 0)
        await stack.check_invariants()


async def test_a_cancel_that_comes_while_a_child_cannot_start_yet_reaches_it(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id, blocker = await _blocked(stack, 2)
        await stack.client.cancel(job_id)
        await until_heard(stack, job_id, "set_control", 1)
        await blocker.terminate()
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.CANCELLED, 0, 0)
        await stack.check_invariants()


async def test_a_pause_that_comes_while_a_child_cannot_start_yet_reaches_it(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id, blocker = await _blocked(stack, 2, max_top_ups=0)
        await stack.client.pause(job_id)
        await until_heard(stack, job_id, "set_control", 1)
        await blocker.terminate()
        # A child that knows of the pause ends; one that does not keeps asking to begin.
        await until_batches_ended(stack, job_id)
        row = await stack.row(job_id)
        assert (row.status, row.paused, stack.provider.total_calls) == (JobStatus.PROCESSING, True, 0)
        await stack.client.resume(job_id)
        receipt = await stack.end_of(job_id)
        assert (receipt.delivered, receipt.total.top_up_rounds) == (2, 0)
        assert stack.provider.calls == {(0, 0): 1, (0, 1): 1}
        await stack.check_invariants()


async def test_a_late_clean_up_leaves_the_pictures_of_a_newer_run(skipping_client: TemporalClient, home: Path) -> None:
    cleaning, uploading = Between("remove_leftovers"), Between("upload")
    begun, staged, cleaned = asyncio.Event(), asyncio.Event(), asyncio.Event()
    provider = ScriptedProvider({(0, 1): [Act.MISS]})

    async def hold_the_clean_up(_run: RunRef) -> None:
        begun.set()
        await staged.wait()

    async def say_that_it_is_over(_run: RunRef) -> None:
        cleaned.set()

    async def hold_the_upload(_image: UploadInput) -> None:
        staged.set()
        await cleaned.wait()

    async with running_stack(skipping_client, home, provider, interceptors=[cleaning, uploading]) as stack:
        cleaning.before, cleaning.after = hold_the_clean_up, say_that_it_is_over
        job_id = await stack.order(2, max_top_ups=0)
        await begun.wait()
        await stack.handle(job_id).terminate("while it cleans up")
        uploading.before = hold_the_upload
        await stack.client.restart(job_id)
        receipt = await stack.end_of(job_id)
        assert cleaned.is_set()
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)
        assert provider.calls == {(0, 0): 1, (0, 1): 1, (0, 2): 1}
        await stack.check_invariants()


async def _blocked(stack: WorkflowStack, quantity: int, max_top_ups: int = 5) -> tuple[UUID, WorkflowHandle[Any, Any]]:
    """A job whose child cannot start, as after a restart that was quicker than the end of the child before."""
    job_id = uuid4()
    name = batch_workflow_id(job_id, 0, 0, 0)
    blocker = await stack.temporal.start_workflow("NobodyRunsThis", id=name, task_queue="nobody-listens")
    document: dict[str, JsonValue] = {"stages": [{"prompt": "x", "quantity": quantity}], "max_top_ups": max_top_ups}
    await stack.client.submit(await stack.client.check(document, stack.user_id), job_id=job_id)

    async def superseded() -> bool:
        return any(
            event.event_type == EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED
            for event in await events(stack, job_workflow_id(job_id))
        )

    await until(superseded, "the child to be superseded")
    return job_id, blocker
