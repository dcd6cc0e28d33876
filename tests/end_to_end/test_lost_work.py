"""What a killed worker held is given back by the next one of its folder, and by nobody while it lives."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from temporalio.api.enums.v1 import EventType, PendingWorkflowTaskState, WorkflowTaskFailedCause
from temporalio.client import WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from activities.composition import local_workers
from darkroom.client.lost_work import give_back_lost_work
from darkroom.client.lost_workflow_tasks import give_back_workflow_task
from tests.support.stacks.process import ProcessStack
from tests.support.until import until

CALLS = 8
LONG_CALLS = {"STAGE_CONCURRENCY": CALLS, "OFFLINE_LATENCY": "120"}


async def test_calls_of_a_killed_worker_are_in_progress_again_at_once(darkroom: ProcessStack) -> None:
    job_id = await _calls_in_progress(darkroom)
    await darkroom.worker.kill()
    await darkroom.worker.start(LONG_CALLS, wait=False)

    async def again() -> bool:
        return len(darkroom.records.outcomes(job_id, None)) == 2 * CALLS

    await until(again, "every call to be made anew", 30)

    async def said() -> bool:
        return bool(darkroom.worker.events("work of ended workers given back"))

    await until(said, "the last pass", 30)
    [line] = darkroom.worker.events("work of ended workers given back")
    assert (line["activities"], line["workers"]) == (CALLS, 1)
    # Nothing is asked twice, and nothing of a worker that lives.
    assert await _given_back(darkroom) == 0


async def test_a_worker_that_stands_still_is_not_taken_for_dead(darkroom: ProcessStack) -> None:
    await _calls_in_progress(darkroom)
    darkroom.worker.suspend()
    assert await _given_back(darkroom) == 0


async def test_workers_that_start_together_give_each_call_back_once(darkroom: ProcessStack) -> None:
    await _calls_in_progress(darkroom)
    await darkroom.worker.kill()
    assert sorted(await asyncio.gather(*(_given_back(darkroom) for _ in range(3)))) == [0, 0, CALLS]


async def test_what_was_given_back_counts_though_the_server_fails_a_request_after_it(
    darkroom: ProcessStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 0

    async def fails_at_first(*given: Any) -> None:
        nonlocal failed
        failed += 1
        if failed <= 2:  # those of the job and of its stage
            raise RPCError("too busy", RPCStatusCode.DEADLINE_EXCEEDED, b"")
        await give_back_workflow_task(*given)

    await _calls_in_progress(darkroom)
    await darkroom.worker.kill()
    monkeypatch.setattr("darkroom.client.lost_work.give_back_workflow_task", fails_at_first)
    assert await _given_back(darkroom) == CALLS
    assert local_workers(darkroom.parts).crashed() == set()


async def test_a_worker_that_stopped_as_it_should_leaves_nothing_to_ask_for(darkroom: ProcessStack) -> None:
    await darkroom.worker.start(LONG_CALLS)
    assert await darkroom.worker.stop() == 0
    assert local_workers(darkroom.parts).crashed() == set()


async def test_a_workflow_does_not_wait_for_the_dead_worker_that_has_its_task(darkroom: ProcessStack) -> None:
    await _paused_after_its_worker_died(darkroom, PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED)


@pytest.mark.slow
async def test_a_workflow_does_not_wait_for_the_dead_worker_that_has_it_in_its_cache(darkroom: ProcessStack) -> None:
    await _paused_after_its_worker_died(darkroom, PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED)


async def _paused_after_its_worker_died(darkroom: ProcessStack, state: PendingWorkflowTaskState.ValueType) -> None:
    """Its worker dies before or after it has been given a task; then the task must be another worker's."""
    job_id = await _calls_in_progress(darkroom)
    if state is PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED:
        darkroom.worker.suspend()
    else:
        await darkroom.worker.kill()
    await darkroom.client.pause(job_id)

    async def pending() -> bool:
        return (await _described(darkroom, job_id)).raw_description.pending_workflow_task.state == state

    await until(pending, "the workflow's task")
    await darkroom.worker.kill()
    await _given_back(darkroom)
    history = await darkroom.handle(job_id).fetch_history()
    events = [event for event in history.events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
    causes = [event.workflow_task_failed_event_attributes.cause for event in events]
    assert causes == [WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE]
    await darkroom.worker.start(LONG_CALLS)
    await darkroom.until_row(job_id, lambda row: row.paused, "the pause", 20)


async def _calls_in_progress(darkroom: ProcessStack) -> UUID:
    await darkroom.worker.start(LONG_CALLS)
    job_id = await darkroom.order(CALLS)

    async def called() -> bool:
        return len(darkroom.records.outcomes(job_id, None)) == CALLS

    await until(called, "the calls", 30)
    return job_id


async def _given_back(darkroom: ProcessStack) -> int:
    return await give_back_lost_work(darkroom.temporal, local_workers(darkroom.parts))


async def _described(darkroom: ProcessStack, job_id: UUID) -> WorkflowExecutionDescription:
    return await darkroom.handle(job_id).describe()
