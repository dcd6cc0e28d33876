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


class Children:
    """The running batches of a job, and what they were told last."""

    def __init__(self, job_id: UUID) -> None:
        self._job_id = job_id
        self.wanted = Control()
        """What was asked of the job."""
        self.control = Control()
        """What of it the job's row says already, and the running batches were told."""
        self.failure: str | None = None
        """The permanent fault that one of them met."""
        self.turned_away: str | None = None
        """Why this run may do nothing more."""
        self.quotas = Quotas(())
        """Which of the job's providers have spent their daily quota."""
        self._running: dict[str, ChildHandle] = {}

    @property
    def over(self) -> bool:
        """Whether no stage may begin another batch."""
        return self.wanted.ending or self.failure is not None or self.turned_away is not None

    @property
    def on_hold(self) -> bool:
        """Whether a batch that is begun now would have to wait."""
        return self.wanted.holds or self.control.holds

    def want(self, **changes: object) -> None:
        """Signal handlers only set state; the relay does the rest."""
        self.wanted = self.wanted.model_copy(update={**changes, "version": self.wanted.version + 1})

    def heed(self, report: BatchReport) -> None:
        """What one batch met that concerns all."""
        if report.stopped is not None and self.failure is None:
            self.failure = report.stopped
            self.want(failing=True)
        elif report.quota_until is not None and report.provider is not None:
            self._heed_spent_quota(report.provider, report.quota_until, report.quota_reason)

    def _heed_spent_quota(self, provider: str, until: datetime, reason: str | None) -> None:
        """Another provider takes over; when all have spent their quota, the job pauses until the first is back."""
        self.quotas.spend(provider, max(until, workflow.now() + SHORTEST_QUOTA_PAUSE))
        others = self.quotas.free(workflow.now())
        if others:
            log("quota spent", job_id=str(self._job_id), provider=provider, goes_on_with=others[0], reason=reason)
        elif self.wanted.quota_until is None and not self.wanted.ending:
            told = self.wanted.reason if self.wanted.paused else reason
            self.want(quota_until=self.quotas.first_back, reason=told or "the provider's daily quota is spent")

    async def tell(self, control: Control) -> None:
        """Pass a wish on to every running batch; one that has just ended needs it no more."""
        self.control = control
        for handle in list(self._running.values()):
            await self._tell_one(handle, control)

    async def run(self, batch: BatchInput, name: str) -> BatchResult:
        """Start a batch as a child workflow and wait for its end.

        Raises:
            ChildWorkflowError: it failed or was terminated.
        """
        told = batch.control
        handle: ChildHandle = await workflow.start_child_workflow(
            StageBatchWorkflow.run, batch, id=name, static_summary=_summary(batch)
        )
        self._running[name] = handle
        try:
            if self.control.version != told.version:
                # The wish came while the child was starting, and was not in its input.
                await self._tell_one(handle, self.control)
            return await handle
        finally:
            del self._running[name]

    @staticmethod
    async def _tell_one(handle: ChildHandle, control: Control) -> None:
        try:
            await handle.signal(StageBatchWorkflow.control, control)
        except exceptions.ApplicationError as error:
            workflow.logger.info("child %s has ended already: %s", handle.id, error)


def _summary(batch: BatchInput) -> str:
    number = len(batch.ordinals)
    return f"stage {batch.stage_index} · round {batch.round} · {number} {'image' if number == 1 else 'images'}"
