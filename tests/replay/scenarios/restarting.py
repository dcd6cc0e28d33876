"""Runs that follow another: restarts, resets, and runs that take over after a crash."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy

from tests.replay.application import (
    Act,
    JobInput,
    JobStatus,
    ScriptedProvider,
    TaskQueue,
    WorkflowStack,
    events,
    job_workflow_id,
    plant,
    until,
    until_batches_ended,
    until_completed,
    until_heard,
    until_paused,
    until_staged,
)
from tests.replay.server import Server


async def restarted_short(server: Server) -> None:
    """A job that stayed short is restarted and makes what is missing."""
    provider = ScriptedProvider({(0, n): [Act.MISS] for n in range(2, 8)})
    async with server.stack(provider) as stack:
        job_id = await stack.order(4, max_top_ups=1)
        await stack.client.result(job_id)
        provider.script.clear()
        await stack.client.restart(job_id)
        await stack.client.result(job_id)


async def restarted_after_an_image_was_deleted(server: Server) -> None:
    """Somebody deleted a delivered image: its id is looked for and not found."""
    provider = ScriptedProvider({(0, n): [Act.MISS] for n in range(2, 8)})
    async with server.stack(provider) as stack:
        job_id = await stack.order(4, max_top_ups=1)
        await stack.client.result(job_id)
        await plant(stack, "delete from quel_attach where ordinal = 1")
        await plant(stack, "update quel_generation_attempts set outcome = 'missed' where ordinal = 1")
        provider.script.clear()
        await stack.client.restart(job_id)
        await stack.client.result(job_id)


async def restarted_cancelled(server: Server) -> None:
    """A cancelled job is restarted."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(5)
        await stack.provider.until_calls(2)
        await stack.client.cancel(job_id)
        await until_heard(stack, job_id, "set_control", 1)
        stack.provider.gate.set()
        await stack.client.result(job_id)
        await stack.client.restart(job_id)
        await stack.client.result(job_id)


async def restarted_failed(server: Server) -> None:
    """A job that failed with a permanent fault is restarted when it is mended."""
    provider = ScriptedProvider({(0, 1): [Act.STOP]})
    async with server.stack(provider, stage_concurrency=1) as stack:
        job_id = await stack.order(3)
        await stack.client.result(job_id)
        await stack.client.restart(job_id)
        await stack.client.result(job_id)


async def _reset(stack: WorkflowStack, job_id: UUID, event_id: int, *, without_signals: bool = False) -> None:
    excluded = [ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL] if without_signals else []
    run = await stack.handle(job_id).describe()
    await stack.temporal.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=stack.temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=job_workflow_id(job_id), run_id=run.run_id),
            reason="another try",
            request_id=str(uuid4()),
            workflow_task_finish_event_id=event_id,
            reset_reapply_exclude_types=excluded,
        )
    )


async def _task_events(stack: WorkflowStack, job_id: UUID) -> list[int]:
    """The events to which the job's workflow can be reset."""
    return [
        event.event_id
        for event in await events(stack, job_workflow_id(job_id))
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]


async def reset_to_its_beginning(server: Server) -> None:
    """Reset with calls in progress, to its first task: under another run, what the first one has is found."""
    async with server.stack() as stack:
        job_id = await stack.order(4)
        await until_completed(stack, job_id, 1)
        stack.provider.gate.clear()
        [first, *_] = await _task_events(stack, job_id)
        await _reset(stack, job_id, first)
        stack.provider.gate.set()
        await stack.client.result(job_id)


async def reset_to_its_last_task(server: Server) -> None:
    """Reset with calls in progress, to its last task."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(4)
        await stack.provider.until_calls(2)
        [*_, last] = await _task_events(stack, job_id)
        await _reset(stack, job_id, last)
        stack.provider.gate.set()
        await stack.client.result(job_id)


async def reset_without_its_signals(server: Server) -> None:
    """Reset to before a pause, which is left out: the job's row, which holds the calls, is written anew."""
    async with server.stack(stage_concurrency=1) as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(3)
        await stack.provider.until_calls(1)
        before_the_pause = await _task_events(stack, job_id)
        await stack.client.pause(job_id, "lunch")
        await until_heard(stack, job_id, "set_control", 1)
        stack.provider.gate.set()
        await until_batches_ended(stack, job_id)
        await _reset(stack, job_id, before_the_pause[-1], without_signals=True)
        await stack.client.result(job_id)


async def reset_after_its_end(server: Server) -> None:
    """A completed job is reset to its first task: its run is closed, so it does nothing."""
    async with server.stack() as stack:
        job_id = await stack.order(2)
        await stack.client.result(job_id)
        [first, *_] = await _task_events(stack, job_id)
        await _reset(stack, job_id, first)
        await stack.client.result(job_id)


async def _take_over(stack: WorkflowStack, job_id: UUID, client: Client) -> None:
    """What `up` does for a job that is processing and whose workflow the server does not know."""
    await client.start_workflow(
        "PipelineJobWorkflow",
        JobInput(job_id=job_id),
        id=job_workflow_id(job_id),
        task_queue=TaskQueue.ORCHESTRATE,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


async def _lose_the_workflow(stack: WorkflowStack, job_id: UUID) -> None:
    await stack.handle(job_id).terminate("the server's database is lost")
    stack.provider.gate.set()


async def taken_over(server: Server) -> None:
    """A run takes over, finds pictures delivered and in staging."""
    async with server.stack() as stack:
        job_id = await stack.order(5)
        await until_completed(stack, job_id, 2)
        stack.provider.gate.clear()
        await _lose_the_workflow(stack, job_id)
        await _take_over(stack, job_id, server.client)
        await stack.client.result(job_id)


async def taken_over_paused(server: Server) -> None:
    """A run takes over and keeps the pause it finds on the row."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(4)
        await stack.provider.until_calls(2)
        await stack.client.pause(job_id, "lunch")
        await until_heard(stack, job_id, "set_control", 1)
        await _lose_the_workflow(stack, job_id)
        await until_staged(stack, job_id, 2)
        await _take_over(stack, job_id, server.client)
        await until_heard(stack, job_id, "set_control", 1)
        await stack.client.resume(job_id)
        await stack.client.result(job_id)


async def taken_over_cancelled(server: Server) -> None:
    """A run takes over, keeps the cancel it finds, and delivers what is paid for."""
    async with server.stack() as stack:
        stack.provider.gate.clear()
        job_id = await stack.order(5)
        await stack.provider.until_calls(2)
        await stack.client.cancel(job_id, "enough")
        await until_heard(stack, job_id, "set_control", 1)
        await _lose_the_workflow(stack, job_id)
        await until_staged(stack, job_id, 2)
        await _take_over(stack, job_id, server.client)
        await stack.client.result(job_id)


async def taken_over_without_quota(server: Server) -> None:
    """A run takes over while the job waits for a quota, and lifts the pause when it is back."""
    provider = ScriptedProvider({(0, 0): [Act.QUOTA]})
    provider.quota_until = datetime.now(UTC) + timedelta(hours=5)
    async with server.stack(provider, stage_concurrency=1) as stack:
        job_id = await stack.order(2)
        await until_paused(stack, job_id)
        await until_heard(stack, job_id, "set_control", 1)
        await _lose_the_workflow(stack, job_id)
        # Only the new run's time is skipped.
        await _take_over(stack, job_id, server.skipping)

        async def completed() -> bool:
            return (await stack.row(job_id)).status is JobStatus.COMPLETED

        await until(completed, "the end")
        await stack.client.result(job_id)
