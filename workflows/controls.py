"""Carries out what was requested of a job: on its row first, then in its batches (part of the job's workflow)."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from temporalio import exceptions, workflow

with workflow.unsafe.imports_passed_through():
    from activities.jobs import JobActivities
    from darkroom.domain.batches import SetControlInput
    from darkroom.domain.job_control import JobControl
    from workflows.batches import Batches
    from workflows.events import log
    from workflows.patches import APPLIED_FIRST, OWN_TIMER
    from workflows.policies import RECORD_WRITE
    from workflows.refusals import refusal_or_raise


async def until_applied(control: JobControl) -> None:
    """Wait until the job's row says all that was requested: nothing may act on a request before."""
    if not control.in_sync and workflow.patched(APPLIED_FIRST):
        await workflow.wait_condition(lambda: control.in_sync)


def quota_spread() -> timedelta:
    """How much later than others this job asks again when a daily quota is back: minutes, another number each time."""
    return timedelta(minutes=workflow.random().uniform(1, 5))


class ControlRelay:
    """Two tasks beside the delivery; they end only when they are cancelled."""

    def __init__(
        self, job_id: UUID, run_id: str, control: JobControl, batches: Batches, on_change: Callable[[], None]
    ) -> None:
        self._job_id = job_id
        self._run_id = run_id
        self._control = control
        self._batches = batches
        self._on_change = on_change

    async def relay(self) -> None:
        """Write each request on the job's row, then tell the batches."""
        control = self._control
        while True:
            await workflow.wait_condition(lambda: not control.in_sync)
            requested = control.requested
            try:
                found = await workflow.execute_activity_method(
                    JobActivities.set_control,
                    SetControlInput(job_id=self._job_id, run_id=self._run_id, control=requested),
                    summary="control",
                    **RECORD_WRITE,
                )
            except exceptions.ActivityError as error:
                # The row cannot say it: the batches are told all the same, and the job ends.
                control.fail(refusal_or_raise(error))
                found = None
            if found is not None and found > requested.version:
                control.overtake(found)
                continue
            control.apply(requested)
            await self._batches.broadcast(requested)
            self._on_change()
            if requested.on_hold and not requested.ending:
                log("job paused", job_id=str(self._job_id), reason=requested.reason)

    async def lift_spent_quotas(self) -> None:
        """When a spent quota is back, lift the pause it made, and only that one."""
        control = self._control
        while True:
            await workflow.wait_condition(lambda: control.requested.quota_until is not None)
            until = control.requested.quota_until
            assert until is not None
            if await self._is_back(until):
                control.lift_quota_pause()

    async def _is_back(self, until: datetime) -> bool:
        """Wait for the moment; False when the pause was lifted or replaced before."""
        delay = max(until - workflow.now(), timedelta(seconds=1))

        def replaced() -> bool:
            return self._control.requested.quota_until != until

        if not workflow.patched(OWN_TIMER):
            try:
                await workflow.wait_condition(replaced, timeout=delay)
            except TimeoutError:
                return True
            return False
        timer = asyncio.create_task(workflow.sleep(delay))
        try:
            await workflow.wait_condition(lambda: replaced() or timer.done())
        finally:
            timer.cancel()
        return not replaced()
