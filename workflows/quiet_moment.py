"""When a job's workflow has become long, and nothing of it is in progress (part of the job's workflow)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from darkroom.domain import continuing
    from darkroom.domain.job_control import JobControl
    from darkroom.domain.job_state import JobState
    from workflows.batches import Batches
    from workflows.patches import CONTINUES, DRAINS


class QuietMoment:
    """A moment at which the job can continue as new: every stage waits between two batches.

    A pause is one, and enough once the history is no longer short. Where pauses are so short that none becomes quiet,
    the job makes its own before the server would end it: its batches end with what is in progress, and its stages begin
    no further one until it has continued.
    """

    def __init__(self, state: JobState, control: JobControl, batches: Batches) -> None:
        self._state = state
        self._control = control
        self._batches = batches
        self._parked: set[int] = set()
        self._awaited = False

    @property
    def is_awaited(self) -> bool:
        """Whether no stage may begin a batch, nor wait for long at any other place, until the job has continued."""
        return self._awaited

    @asynccontextmanager
    async def its_turn(self, stage_index: int, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Deliver a stage while it is its turn; until then it keeps nobody from continuing."""
        self._parked.add(stage_index)
        async with turns:
            self._parked.discard(stage_index)
            yield

    async def until_may_begin(self, stage_index: int) -> None:
        """Wait at the only place where a stage waits for long: before its next batch, while that may not begin."""
        self._parked.add(stage_index)
        await workflow.wait_condition(lambda: self._control.over or not (self._control.on_hold or self._awaited))
        self._parked.discard(stage_index)

    async def until_time_to_continue(self) -> None:
        """Wait for the moment, if it ever comes."""
        await workflow.wait_condition(lambda: self._is_long or (self._is_quiet and _is_enough()))
        self._awaited = workflow.patched(CONTINUES)
        if not self._is_quiet and workflow.patched(DRAINS):
            await self._batches.drain()
        await workflow.wait_condition(lambda: self._awaited and self._is_quiet)

    @property
    def _is_quiet(self) -> bool:
        if self._batches.any_runs or self._control.over or not self._control.in_sync:
            return False
        undecided = {stage.plan.stage_index for stage in self._state.stages if not stage.ended}
        return bool(undecided) and undecided <= self._parked

    @property
    def _is_long(self) -> bool:
        return workflow.info().get_current_history_length() > self._state.run.long_history


def _is_enough() -> bool:
    info = workflow.info()
    return info.is_continue_as_new_suggested() or info.get_current_history_length() > continuing.ENOUGH_HISTORY
