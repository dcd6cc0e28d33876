"""The running batches of a job: their handles, and what is broadcast to them. No decisions."""

import contextlib
from collections.abc import Iterator

from temporalio import exceptions, workflow

with workflow.unsafe.imports_passed_through():
    from darkroom.domain.batches import BatchInput, BatchResult
    from darkroom.domain.job_control import JobControl
    from darkroom.domain.jobs import Control
    from darkroom.domain.stage_labels import number_of_stage
    from workflows.priorities import of_what_has_begun
    from workflows.stage_batch import StageBatchWorkflow

BatchHandle = workflow.ChildWorkflowHandle[StageBatchWorkflow, BatchResult]


class Batches:
    """The running child workflows of a job."""

    def __init__(self, control: JobControl) -> None:
        self._control = control
        self._running: dict[str, BatchHandle] = {}
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether batches end before all of theirs is decided, because the job is to continue as new."""
        return self._draining

    @property
    def any_runs(self) -> bool:
        """Whether a batch is running."""
        return bool(self._running)

    async def broadcast(self, control: Control) -> None:
        """Send a control to every running batch; one that has just ended needs it no more."""
        for handle in list(self._running.values()):
            await self._send(handle, control)

    async def drain(self) -> None:
        """Let every batch begin nothing more and end with what is in progress, those too that are just starting."""
        self._draining = True
        for handle in list(self._running.values()):
            await self._send_drain(handle)

    async def run(self, batch: BatchInput, name: str) -> BatchResult:
        """Start a batch as a child workflow and wait for its end.

        Raises:
            ChildWorkflowError: it failed or was terminated.
            WorkflowAlreadyStartedError: another one has this name.
        """
        handle: BatchHandle = await workflow.start_child_workflow(
            StageBatchWorkflow.run, batch, id=name, static_summary=_summary(batch), priority=of_what_has_begun()
        )
        self._running[name] = handle
        try:
            if self._control.applied.version != batch.control.version:
                # It was applied while the child was starting, and was not in its input.
                await self._send(handle, self._control.applied)
            if self._draining:
                await self._send_drain(handle)
            return await handle
        finally:
            del self._running[name]

    @staticmethod
    async def _send(handle: BatchHandle, control: Control) -> None:
        with _unless_ended(handle):
            await handle.signal(StageBatchWorkflow.control, control)

    @staticmethod
    async def _send_drain(handle: BatchHandle) -> None:
        with _unless_ended(handle):
            await handle.signal(StageBatchWorkflow.drain)


@contextlib.contextmanager
def _unless_ended(handle: BatchHandle) -> Iterator[None]:
    try:
        yield
    except exceptions.ApplicationError as error:
        workflow.logger.info("child %s has ended already: %s", handle.id, error)


def _summary(batch: BatchInput) -> str:
    number = len(batch.ordinals)
    return (
        f"{number_of_stage(batch.stage_index)} · round {batch.round} · {number} {'image' if number == 1 else 'images'}"
    )
