"""The running batches of a job (part of the job's workflow)."""

from datetime import datetime, timedelta
from uuid import UUID

from temporalio import exceptions, workflow

with workflow.unsafe.imports_passed_through():
    from darkroom.domain.batches import BatchInput, BatchReport, BatchResult
    from darkroom.domain.fallback import Quotas
    from darkroom.domain.jobs import Control
    from workflows.events import log
    from workflows.stage_batch import StageBatchWorkflow

SHORTEST_QUOTA_PAUSE = timedelta(seconds=60)
"""A quota that claims to be back at once must not become a busy loop of refused calls."""

ChildHandle = workflow.ChildWorkflowHandle[StageBatchWorkflow, BatchResult]


class Batches:
    """The running batches of a job, and what they were told last."""

    def __init__(self, job_id: UUID) -> None:
        self._job_id = job_id
        self.requested = Control()
        """What was asked of the job."""
        self.control = Control()
        """What of it the job's row says already, and the running batches were told."""
        self.failure: str | None = None
        """The permanent fault that one of them met."""
        self.superseded: str | None = None
        """Why this run may do nothing more."""
        self.quotas = Quotas(())
        """Which of the job's providers have spent their daily quota."""
        self.undecided: set[int] = set()
        """Stages that are still to be delivered."""
        self._waiting: dict[int, str] = {}
        """Stages that wait for the daily quota of the one provider that did not refuse them."""
        self._running: dict[str, ChildHandle] = {}

    @property
    def over(self) -> bool:
        """Whether no stage may begin another batch."""
        return self.requested.ending or self.failure is not None or self.superseded is not None

    @property
    def on_hold(self) -> bool:
        """Whether a batch that is begun now would have to wait."""
        return self.requested.holds or self.control.holds

    def request(self, **changes: object) -> None:
        """Signal handlers only set state; the relay does the rest."""
        self.requested = self.requested.model_copy(update={**changes, "version": self.requested.version + 1})

    def on_batch_report(self, report: BatchReport) -> None:
        """What one batch met that concerns all."""
        if report.stopped is not None and self.failure is None:
            self.failure = report.stopped
            self.request(failing=True)
        elif report.quota_until is not None and report.provider is not None:
            self._on_spent_quota(report.provider, report.quota_until, report.quota_reason)

    def _on_spent_quota(self, provider: str, until: datetime, reason: str | None) -> None:
        """Another provider takes over; when all have spent their quota, the job pauses until the first is back."""
        self.quotas.spend(provider, max(until, workflow.now() + SHORTEST_QUOTA_PAUSE), reason)
        others = self.quotas.free(workflow.now())
        if others:
            log("quota spent", job_id=str(self._job_id), provider=provider, goes_on_with=others[0], reason=reason)
        else:
            self._pause_until(self.quotas.first_back, self.quotas.reason(provider))

    def wait_for_quota(self, stage_index: int, provider: str) -> None:
        """A stage that all others refused has nobody else to ask; when this holds for all, the job pauses."""
        self._waiting[stage_index] = provider
        self._pause_when_all_wait()

    def go_on(self, stage_index: int) -> None:
        """The stage waits no more."""
        self._waiting.pop(stage_index, None)

    def end_stage(self, stage_index: int) -> None:
        """Nothing more is made of the stage; those that are left may all be waiting."""
        self.undecided.discard(stage_index)
        self._pause_when_all_wait()

    def lift_quota_pause(self) -> None:
        """The quota that was to return first is back; a user's pause stays.

        Was it spent anew meanwhile, the stages find nobody to ask, and the job pauses again.
        """
        if not self.requested.ending:
            self.request(quota_until=None, reason=self.requested.reason if self.requested.paused else None)

    def _pause_when_all_wait(self) -> None:
        if self.undecided and self.undecided <= self._waiting.keys():
            back = {name: until for name in self._waiting.values() if (until := self.quotas.back_at(name)) is not None}
            if back:
                first = min(back, key=lambda name: back[name])
                self._pause_until(back[first], self.quotas.reason(first))

    def _pause_until(self, until: datetime | None, reason: str) -> None:
        if self.requested.quota_until is None and not self.requested.ending:
            self.request(quota_until=until, reason=(self.requested.paused and self.requested.reason) or reason)

    async def broadcast(self, control: Control) -> None:
        """Pass a wish on to every running batch; one that has just ended needs it no more."""
        self.control = control
        for handle in list(self._running.values()):
            await self._send(handle, control)

    async def run(self, batch: BatchInput, name: str) -> BatchResult:
        """Start a batch as a child workflow and wait for its end.

        Raises:
            ChildWorkflowError: it failed or was terminated.
        """
        known = batch.control
        handle: ChildHandle = await workflow.start_child_workflow(
            StageBatchWorkflow.run, batch, id=name, static_summary=_summary(batch)
        )
        self._running[name] = handle
        try:
            if self.control.version != known.version:
                # The wish came while the child was starting, and was not in its input.
                await self._send(handle, self.control)
            return await handle
        finally:
            del self._running[name]

    @staticmethod
    async def _send(handle: ChildHandle, control: Control) -> None:
        try:
            await handle.signal(StageBatchWorkflow.control, control)
        except exceptions.ApplicationError as error:
            workflow.logger.info("child %s has ended already: %s", handle.id, error)


def run_of_records() -> str:
    """The id under which the records know this run of the job.

    `temporal workflow reset` goes on under another id with what the records gave to the first one, so it is the first.
    """
    return workflow.info().original_execution_run_id


def _summary(batch: BatchInput) -> str:
    number = len(batch.ordinals)
    return f"stage {batch.stage_index} · round {batch.round} · {number} {'image' if number == 1 else 'images'}"
