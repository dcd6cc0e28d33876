"""The Temporal Schedules that a deployment runs by."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from darkroom.domain.names import WAITING_JOBS_SCHEDULE, TaskQueue
from workflows.waiting_jobs import StartWaitingJobsWorkflow

CATCH_UP = timedelta(seconds=10)
"""Looks that were missed need not be made up for: the next one sees the same. It is Temporal's least."""


async def ensure_waiting_jobs_schedule(client: Client, every: timedelta) -> None:
    """Have waiting jobs looked for this often, one look at a time; a pause that somebody set is kept."""
    wanted = Schedule(
        action=ScheduleActionStartWorkflow(
            StartWaitingJobsWorkflow.run, id=WAITING_JOBS_SCHEDULE, task_queue=TaskQueue.ORCHESTRATE
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )

    def update(found: ScheduleUpdateInput) -> ScheduleUpdate:
        wanted.state = found.description.schedule.state
        return ScheduleUpdate(schedule=wanted)

    try:
        await client.create_schedule(WAITING_JOBS_SCHEDULE, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(WAITING_JOBS_SCHEDULE).update(update)
