"""The Temporal Schedules that a deployment runs by."""

from collections.abc import Awaitable, Callable
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

from darkroom.contract import Housekeeping, StartWaitingJobs
from darkroom.domain.names import HOUSEKEEPING_SCHEDULE, WAITING_JOBS_SCHEDULE, TaskQueue

CATCH_UP = timedelta(seconds=10)
"""Runs that were missed need not be repeated: the next one finds the same. It is Temporal's minimum."""


async def ensure_schedules(client: Client, *, waiting_every: timedelta | None, housekeeping_every: timedelta) -> None:
    """Start waiting jobs and run housekeeping this often; a schedule that somebody paused stays paused.

    Args:
        waiting_every: None where `up` starts waiting jobs by itself.
    """
    if waiting_every is not None:
        await _ensure(client, WAITING_JOBS_SCHEDULE, StartWaitingJobs.run, waiting_every)
    await _ensure(client, HOUSEKEEPING_SCHEDULE, Housekeeping.run, housekeeping_every)


async def _ensure(client: Client, name: str, run: Callable[..., Awaitable[object]], every: timedelta) -> None:
    """One run at a time; runs that were missed are not repeated."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(run, id=name, task_queue=TaskQueue.ORCHESTRATE),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )

    def update(found: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule.state = found.description.schedule.state
        return ScheduleUpdate(schedule=schedule)

    try:
        await client.create_schedule(name, schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(name).update(update)
