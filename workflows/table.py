"""The table on a job's page in the Temporal Web UI, kept true by a timer (part of the job's workflow)."""

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.jobs import JobActivities
    from darkroom.domain import movement
    from darkroom.domain.batches import RunRef
    from darkroom.domain.job_control import JobControl
    from darkroom.domain.job_state import JobState
    from darkroom.domain.movement import Faults
    from workflows.patches import TABLE_REFRESHED, has
    from workflows.policies import RECORD_WRITE


RARELY = 60
"""Times as long: at 11 events a minute, the 51,200 at which the server ends a workflow come in three days."""


class TableRefresh:
    """Asks the records for what a workflow does not see, its calls' retries, while something is wanted and nothing
    moves."""

    def __init__(self, state: JobState, control: JobControl, on_change: Callable[[], None]) -> None:
        self._state = state
        self._control = control
        self._on_change = on_change
        self.faults = Faults()

    async def refresh(self, run: RunRef) -> None:
        """A task beside the delivery, which ends only when it is cancelled."""
        refreshed = has(self._state.run.generation, TABLE_REFRESHED)
        known = self._state.decided
        while True:
            await workflow.wait_condition(lambda: refreshed and self._wanted)
            await workflow.sleep(self._pause)
            moved, known = self._state.decided != known, self._state.decided
            if moved or not self._wanted:
                self._show(Faults())
                continue
            self._show(
                await workflow.execute_activity_method(
                    JobActivities.record_faults, run, summary="retries", **RECORD_WRITE
                )
            )

    @property
    def _pause(self) -> timedelta:
        """Longer in a long history: a job that waits for days, for a worker or a storage, must not grow out of it."""
        long = workflow.info().get_current_history_length() > self._state.run.long_history // 2
        return movement.TABLE_REFRESHED_EVERY * (RARELY if long else 1)

    @property
    def _wanted(self) -> bool:
        return not self._control.on_hold and not self._control.over

    def _show(self, faults: Faults) -> None:
        if faults != self.faults:
            self.faults = faults
            self._on_change()
