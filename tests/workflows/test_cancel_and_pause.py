"""Cancelling, pausing and resuming a job whose calls are under way (spec §2)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowExecutionStatus

from darkroom.domain.names import batch_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.domain.rounds import StageStatus
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.watching import Between, job_of
from tests.support.stacks.workflow import PRICE, running_stack
from tests.support.until import until
from workflows.pipeline_job import PipelineJobWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_cancel_keeps_what_is_under_way_and_begins_nothing_more(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=4) as stack:
        job_id = await stack.held(10, calls=4)
        answer = await stack.client.cancel(job_id, "enough")
        assert answer.success
        await stack.until_cancelling(job_id)
        assert not (await stack.client.cancel(job_id)).success
        receipt = await stack.end_of(job_id)
        row = await stack.row(job_id)
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.CANCELLED, 4, 4)
        assert (row.failed_images, receipt.total.charged) == (0, 4 * PRICE)
        assert [m.reason for m in receipt.missing] == ["cancelled"]
        assert not (await stack.client.cancel(job_id)).success
        await stack.check_invariants()


async def test_temporals_own_cancel_does_the_same(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=3) as stack:
        job_id = await stack.held(8, calls=3)
        await stack.handle(job_id).cancel()
        await stack.until_cancelling(job_id)
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.CANCELLED, 3, 3)
        description = await stack.handle(job_id).describe()
        assert description.status is WorkflowExecutionStatus.COMPLETED
        await stack.check_invariants()


async def test_cancelling_a_child_stops_its_stage_only(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(5, 3, calls=4)
        child = stack.temporal.get_workflow_handle(f"job-{job_id}/stage-0/round-0/batch-0")
        await child.cancel()
        receipt = await stack.end_of(job_id)
        assert receipt.status is JobStatus.COMPLETED
        assert receipt.delivered < 8
        assert [m.stage_index for m in receipt.missing] == [0]
        seen = await stack.client.progress(job_id)
        assert [stage.status for stage in seen.progress.stages] == [StageStatus.CANCELLED, StageStatus.COMPLETE]
        await stack.check_invariants()


async def test_a_terminated_child_is_not_a_failed_job(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(4, calls=2)
        await stack.temporal.get_workflow_handle(f"job-{job_id}/stage-0/round-0/batch-0").terminate()
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 4)
        await stack.check_invariants()


async def test_the_round_after_a_lost_batch_makes_what_is_missing(skipping_client: TemporalClient, home: Path) -> None:
    """And not what the lost batch delivered without telling anybody."""
    settling = Between("credit", "credit_group")
    async with running_stack(skipping_client, home, interceptors=[settling], stage_concurrency=1) as stack:

        async def terminate(settled: Any) -> None:
            await stack.temporal.get_workflow_handle(batch_workflow_id(job_of(settled), 0, 0, 0)).terminate()

        settling.after = terminate
        receipt = await stack.end_of(await stack.order(6, max_top_ups=1))
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 6)
        assert receipt.total.top_up_rounds == 1
        assert stack.provider.calls == {(0, n): 1 for n in range(6)}
        await stack.check_invariants()


async def test_a_paused_job_begins_nothing_and_resumes_the_same_ordinals(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(6, calls=2)
        await stack.client.pause(job_id, "lunch")
        await stack.until_paused(job_id)
        stack.provider.gate.set()

        async def settled() -> bool:
            return (await stack.row(job_id)).completed_images == 2

        await until(settled, "the two calls under way being delivered")
        row = await stack.row(job_id)
        assert (row.status, row.pause_reason, stack.provider.total_calls) == (JobStatus.PROCESSING, "lunch", 2)
        await stack.client.resume(job_id)
        receipt = await stack.client.result(job_id)
        assert receipt.delivered == 6
        assert stack.provider.calls == {(0, n): 1 for n in range(6)}
        assert receipt.total.top_up_rounds == 0
        await stack.check_invariants()


async def test_a_paused_job_can_be_cancelled(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.held(4, calls=1)
        await stack.client.pause(job_id)
        await stack.until_paused(job_id)
        await stack.client.cancel(job_id)
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.CANCELLED, 1)
        row = await stack.row(job_id)
        assert not row.paused
        await stack.check_invariants()


async def test_a_spent_daily_quota_pauses_the_job_until_it_is_back(skipping_client: TemporalClient, home: Path) -> None:
    provider = ScriptedProvider({(0, 1): [Act.QUOTA]})
    provider.quota_until = datetime.now(UTC) + timedelta(hours=5)
    async with running_stack(skipping_client, home, provider, stage_concurrency=1) as stack:
        job_id = await stack.order(3)
        receipt = await stack.client.result(job_id)
        assert receipt.delivered == 3
        assert provider.calls == {(0, 0): 1, (0, 1): 2, (0, 2): 1}
        assert (await stack.handle(job_id).query(PipelineJobWorkflow.progress)).status is JobStatus.COMPLETED
        await stack.check_invariants()
