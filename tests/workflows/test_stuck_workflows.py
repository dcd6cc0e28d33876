"""A workflow whose task keeps failing is named, with the way out, and the way out works."""

import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from temporalio import workflow
from temporalio.client import Client as TemporalClient
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from darkroom.client.stuck_workflows import StuckWorkflow, check_stuck, stuck_workflows
from darkroom.domain.findings import State
from darkroom.domain.jobs import JobInput
from darkroom.domain.names import TaskQueue, job_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.housekeeping.housekeeper import Housekeeper
from tests.support.stacks.temporal_server import running_temporal
from tests.support.stacks.watching import end_of
from tests.support.stacks.workflow import running_stack
from tests.support.until import until
from worker import running_workers

SOON = ("--dynamic-config-value", "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=1")
"""Of five failures, which take minutes."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[TemporalClient]:
    async with running_temporal(*SOON) as client:
        yield client


@workflow.defn(name="PipelineJobWorkflow")
class Broken:
    """What a faulty rollout looks like."""

    @workflow.run
    async def run(self, job: JobInput) -> None:
        raise RuntimeError(f"nobody thought of job {job.job_id}")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_job_whose_workflow_keeps_failing_is_named_and_saved(client: TemporalClient, home: Path) -> None:
    async with running_stack(client, home, without_workers=True) as stack:
        assert (await check_stuck(client))[0].state is State.GOOD
        job_id = await stack.order(2)
        queue = TaskQueue.ORCHESTRATE
        async with Worker(client, task_queue=queue, workflows=[Broken], workflow_runner=UnsandboxedWorkflowRunner()):
            stuck: list[StuckWorkflow] = []

            async def named() -> bool:
                stuck[:] = await stuck_workflows(client) or []
                return bool(stuck)

            await until(named, "the workflow that is stuck", 30)
        assert [(one.workflow_id, one.reason) for one in stuck] == [
            (job_workflow_id(job_id), f"nobody thought of job {job_id}")
        ]
        [finding] = await check_stuck(client)
        assert finding.told == f"job-{job_id} cannot continue: nobody thought of job {job_id}"
        assert f"`temporal workflow terminate --workflow-id job-{job_id}`" in (finding.remedy or "")
        assert f"`darkroom restart {job_id}`" in (finding.remedy or "")
        with structlog.testing.capture_logs() as lines:
            tidied = await Housekeeper(stack.parts.records, stack.parts.storage, client).tidy()
        assert tidied.stuck_workflows == 1
        [line] = [line for line in lines if line["event"] == "workflow stuck"]
        assert (line["log_level"], line["workflow_id"]) == ("error", job_workflow_id(job_id))
        # The way out.
        assert shlex.split((finding.remedy or "").split("`")[1])[:3] == ["temporal", "workflow", "terminate"]
        await stack.handle(job_id).terminate("a faulty rollout")
        await stack.client.restart(job_id)
        async with running_workers(stack.parts, client):
            receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)


def test_of_a_batch_it_is_enough_to_end_it() -> None:
    batch = StuckWorkflow("job-5c3f1f1e-0d46-4d8f-8f4e-0a4f7a2c9b11/stage-0/round-0/batch-0", "why")
    assert "darkroom restart" not in batch.remedy
    assert f"`temporal workflow terminate --workflow-id {batch.workflow_id}`" in batch.remedy
