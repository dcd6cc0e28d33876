"""The table on a job's page in the Temporal Web UI, the same as its progress (part of the job's workflow)."""

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.jobs import JobActivities
    from darkroom.domain import movement
    from darkroom.domain.batches import RunRef
    from darkroom.domain.job_control import JobControl
    from darkroom.domain.job_state import JobState
    from darkroom.domain.movement import Faults, with_faults
    from darkroom.domain.progress import Progress, markdown
    from workflows.patches import TABLE_REFRESHED, has
    from workflows.policies import RECORD_WRITE


RARELY = 60
"""Times as long: at 11 events a minute, the 51,200 at which the server ends a workflow come in three days."""


class Table:
    """Shows how the job stands, and asks the records for what a workflow does not see, its calls' retries.

    Written at most once an activation: a table of many stages costs more than the news that it shows.
    """

    def __init__(self, state: JobState, control: JobControl, progress: Callable[[], Progress]) -> None:
        self._state = state
        self._control = control
        self._progress = progress
        self._faults = Faults()
        self.changed = False
        """Whether there is news to show."""

    def show(self) -> None:
        """Show how the job stands now, after its end."""
        self._faults = Faults()
        self._write()

    async def keep_shown(self) -> None:
        """A task beside the delivery, which ends only when it is cancelled."""
        while True:
            await workflow.wait_condition(lambda: self.changed)
            self._write()

    def _write(self) -> None:
        self.changed = False
        workflow.set_current_details(markdown(with_faults(self._progress(), self._faults)))

    async def refresh(self, run: RunRef) -> None:
        """Ask by a timer, while something is wanted and nothing moves; a task beside the delivery, as above."""
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
        if faults != self._faults:
            self._faults = faults
            self.changed = True
