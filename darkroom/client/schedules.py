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
"""Looks that were missed need not be made up for: the next one sees the same. It is Temporal's least."""


async def ensure_schedules(client: Client, *, waiting_every: timedelta | None, housekeeping_every: timedelta) -> None:
    """Have waiting jobs looked for and jobs looked after this often; a pause that somebody set is kept.

    Args:
        waiting_every: None where `up` looks for waiting jobs by itself.
    """
    if waiting_every is not None:
        await _ensure(client, WAITING_JOBS_SCHEDULE, StartWaitingJobs.run, waiting_every)
    await _ensure(client, HOUSEKEEPING_SCHEDULE, Housekeeping.run, housekeeping_every)


async def _ensure(client: Client, name: str, run: Callable[..., Awaitable[object]], every: timedelta) -> None:
    """One look at a time; looks that were missed are not made up for."""
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
