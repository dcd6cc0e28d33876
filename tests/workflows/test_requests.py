"""Requests are sent in order, whatever the records say of the job (spec §2)."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client as TemporalClient

from darkroom.bootstrap import open_parts
from darkroom.domain.errors import NotPossibleNow
from darkroom.domain.jobs import PauseRequest
from darkroom.domain.names import job_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.records.sqlite import SqliteRecords
from darkroom.settings import Settings
from tests.support.fakes.scripted import ScriptedProvider
from tests.support.stacks.watching import end_of, events, until_batches_ended, until_heard
from tests.support.stacks.workflow import running_stack
from worker import running_workers
from workflows.pipeline_job import PipelineJobWorkflow

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("workflows")]


async def test_a_pause_that_is_taken_back_while_no_worker_runs_holds_nothing(
    skipping_client: TemporalClient, home: Path
) -> None:
    settings = Settings(_env_file=None, darkroom_home=home, image_provider="offline")
    records = SqliteRecords(":memory:")
    async with open_parts(settings, records=records, providers={"offline": ScriptedProvider()}) as parts:
        client = parts.client(skipping_client)
        await client.open_local_account()
        order = await client.check({"stages": [{"prompt": "x", "quantity": 2}]}, client.local_user)
        job_id = (await client.submit(order)).job_id
        assert (await client.pause(job_id, "lunch")).success
        again = await client.pause(job_id, "lunch")
        assert (again.success, again.message) == (False, "Job is already paused")
        resumed = await client.resume(job_id)
        assert (resumed.success, resumed.message) == (True, "Job resumed")
        async with running_workers(parts, skipping_client):
            receipt = await asyncio.wait_for(client.result(job_id), 20)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)


async def test_of_ten_cancels_at_once_one_succeeds(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.held(3, calls=3)
        results = await asyncio.gather(*(stack.client.cancel(job_id, "enough") for _ in range(10)))
        assert sorted(result.success for result in results) == [False] * 9 + [True]
        assert {result.message for result in results if not result.success} == {"Job is already being cancelled"}
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.CANCELLED, 3)


async def test_a_request_that_is_overtaken_on_its_way_changes_nothing(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.held(2, calls=1)
        await stack.client.pause(job_id, "lunch")
        await stack.until_paused(job_id)
        await stack.client.resume(job_id)
        await stack.handle(job_id).signal(PipelineJobWorkflow.pause, PauseRequest(reason="late", number=1))
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)


async def test_a_request_that_nobody_can_hear_is_forgotten(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.stored({"stages": [{"prompt": "x", "quantity": 2}]})
        for _ in range(2):
            with pytest.raises(NotPossibleNow, match="has no running workflow"):
                await stack.client.pause(job_id, "lunch")
        await stack.client.restart(job_id)
        assert (await end_of(stack, job_id)).delivered == 2


async def test_a_run_that_is_reset_without_its_signals_goes_on(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.held(3, calls=1)
        await stack.client.pause(job_id, "lunch")
        await until_heard(stack, job_id, "set_control", 1)
        stack.provider.gate.set()
        await until_batches_ended(stack, job_id)
        found = await events(stack, job_workflow_id(job_id))
        kinds = [event.event_type for event in found]
        signalled = kinds.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        before = max(n for n in range(signalled) if kinds[n] == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
        run = await stack.handle(job_id).describe()
        await stack.temporal.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=stack.temporal.namespace,
                workflow_execution=WorkflowExecution(workflow_id=run.id, run_id=run.run_id),
                reason="as if nobody had paused it",
                request_id=str(uuid4()),
                workflow_task_finish_event_id=found[before].event_id,
                reset_reapply_exclude_types=[ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL],
            )
        )
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.COMPLETED, 3, 3)
        assert not (await stack.row(job_id)).paused
        await stack.check_invariants()
