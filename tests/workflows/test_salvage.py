"""A picture that is paid for and staged is delivered before its stage is called short (spec §2)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client as TemporalClient
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from darkroom.domain.attempts import Attempt, Begin
from darkroom.domain.errors import StorageRefused
from darkroom.domain.groups import UploadGroupInput
from darkroom.domain.images import ImageKey, UploadInput
from darkroom.domain.names import batch_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.storage.files import FileStorage
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.watching import Between, end_of, heard, job_of, until_heard
from tests.support.stacks.workflow import WorkflowStack, running_stack
from tests.support.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("workflows")]


class Closed(FileStorage):
    """Shows nothing of what is staged, for good, while it is closed."""

    closed = False

    async def keys(self, prefix: str) -> Sequence[str]:
        if self.closed and prefix.startswith("staging/"):
            raise StorageRefused("the project is restricted; pay its bill")
        return await super().keys(prefix)


class StandingStill(Interceptor):
    """A worker that stood still for longer than its heartbeats may be missed: the server hears nothing of the calls
    that it makes, and drops them at a cancel, though they go on and their bytes are staged."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Task[Any]] = []

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Silent(next, self)


class _Silent(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, still: StandingStill) -> None:  # noqa: A002
        super().__init__(next)
        self._still = still

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        work = asyncio.ensure_future(self.next.execute_activity(input))
        if activity.info().activity_type != "generate":
            return await work
        self._still.calls.append(work)
        return await asyncio.shield(work)  # ends at the cancel, and the call does not


async def test_calls_of_a_batch_that_was_terminated_in_the_last_round_are_delivered(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, max_top_ups=0) as stack:
        job_id = await stack.held(3, calls=3)
        await stack.temporal.get_workflow_handle(batch_workflow_id(job_id, 0, 0, 0)).terminate()
        await until_heard(stack, job_id, "record_progress", 1)
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.COMPLETED, 3, 3)
        await stack.check_invariants()


async def test_what_a_terminated_batch_of_the_last_round_had_staged_is_delivered(
    skipping_client: TemporalClient, home: Path
) -> None:
    uploading = Between("upload", "upload_group")
    async with running_stack(skipping_client, home, interceptors=[uploading], max_top_ups=0) as stack:

        async def terminate(image: UploadInput | UploadGroupInput) -> None:
            await stack.temporal.get_workflow_handle(batch_workflow_id(job_of(image), 0, 0, 0)).terminate()

        uploading.before = terminate
        receipt = await end_of(stack, await stack.order(4))
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.COMPLETED, 4, 4)
        await stack.check_invariants()


async def test_calls_that_end_after_the_server_gave_up_their_worker_are_delivered_at_a_cancel(
    skipping_client: TemporalClient, home: Path
) -> None:
    still = StandingStill()
    async with running_stack(skipping_client, home, interceptors=[still]) as stack:
        job_id = await stack.held(3, calls=3)
        await stack.client.cancel(job_id)
        await stack.until_cancelling(job_id)
        await _until_the_batch_has_ended(stack, job_id)
        receipt = await end_of(stack, job_id)
        await asyncio.gather(*still.calls, return_exceptions=True)
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.CANCELLED, 3, 3)
        await stack.check_invariants()


async def test_a_job_that_fails_leaves_its_pictures_in_staging_for_a_restart(
    skipping_client: TemporalClient, home: Path
) -> None:
    provider = ScriptedProvider({(0, 1): [Act.STOP]})
    uploading = Between("upload", "upload_group")
    async with running_stack(skipping_client, home, provider, interceptors=[uploading], stage_concurrency=1) as stack:

        async def terminate(image: UploadInput | UploadGroupInput) -> None:
            await provider.until_calls(2)
            await stack.temporal.get_workflow_handle(batch_workflow_id(job_of(image), 1, 0, 0)).terminate()

        uploading.before = terminate
        job_id = await stack.order(3, 3)
        receipt = await end_of(stack, job_id)
        assert receipt.status is JobStatus.FAILED
        assert await heard(stack, job_id, "find_staged") == 0
        await stack.client.restart(job_id)
        receipt = await end_of(stack, job_id)
        # The call that was stopped brought nothing.
        assert (receipt.status, receipt.delivered, provider.total_calls) == (JobStatus.COMPLETED, 6, 7)
        await stack.check_invariants()


async def test_a_job_whose_staging_cannot_be_looked_into_fails_with_the_reason_and_keeps_what_is_there(
    skipping_client: TemporalClient, home: Path
) -> None:
    storage = Closed(home / "files")
    uploading = Between("upload", "upload_group")
    async with running_stack(
        skipping_client, home, storage=storage, interceptors=[uploading], stage_concurrency=2, max_top_ups=0
    ) as stack:

        async def terminate(image: UploadInput | UploadGroupInput) -> None:
            storage.closed = True
            await stack.temporal.get_workflow_handle(batch_workflow_id(job_of(image), 0, 0, 0)).terminate()

        uploading.before = terminate
        job_id = await stack.order(2)
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.FAILED, 0)
        assert receipt.error_message == "the project is restricted; pay its bill"
        await stack.check_invariants()
        storage.closed = False
        await stack.client.restart(job_id)
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)
        assert stack.provider.total_calls == 2, "what was paid for is delivered"


@pytest.mark.slow
async def test_a_hundred_stages_that_wait_for_calls_keep_nobody_elses_job_waiting(
    skipping_client: TemporalClient, home: Path
) -> None:
    """A worker on another machine died: the stages of a job that is cancelled wait for its calls for minutes."""
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.held(*[2] * 100, calls=100)
        run_id = (await stack.row(job_id)).run_id
        assert run_id is not None
        for stage in range(100):
            key = ImageKey(job_id=job_id, stage_index=stage, ordinal=1)
            call = Attempt(key=key, run_id=run_id, call_id=uuid4(), round=0, provider="offline", worker="elsewhere")
            assert (await stack.parts.records.begin_attempt(call, looked=False)).begin is Begin.BEGUN
        await stack.client.cancel(job_id)
        await stack.until_cancelling(job_id)
        stack.provider.gate.set()
        await stack.until_row(job_id, lambda row: row.completed_images == 100, "the calls in progress")
        await until_heard(stack, job_id, "record_progress", 100)
        async with asyncio.timeout(15):
            assert (await stack.client.result(await stack.order(1))).delivered == 1
        await stack.handle(job_id).terminate("seen enough")


async def _until_the_batch_has_ended(stack: WorkflowStack, job_id: Any) -> None:
    async def ended() -> bool:
        return await heard(stack, job_id, "record_progress") >= 1

    await until(ended, "the batch to end though its calls go on")
