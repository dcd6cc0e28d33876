"""The workflows as their callers see them: names, inputs, results, signals and queries.

The classes in `workflows/` inherit these. Whoever starts, signals or queries a workflow names a method here, never a
string, and imports nothing of what runs it.
"""

from abc import ABC, abstractmethod

from temporalio import exceptions, workflow

from darkroom.domain.batches import BatchReport
from darkroom.domain.housekeeping import Tidied
from darkroom.domain.jobs import CancelRequest, JobInput, PauseRequest, ResumeRequest
from darkroom.domain.progress import Progress
from darkroom.domain.receipts import Receipt
from darkroom.domain.webhooks import WebhookDelivered, WebhookInput
from darkroom.domain.worker_reports import AskWorkers, WorkerReports


@workflow.defn(name="PipelineJobWorkflow")
class PipelineJob(ABC):
    """A job from its first run to its receipt."""

    @workflow.run
    @abstractmethod
    async def run(self, job: JobInput) -> Receipt:
        """Deliver what is missing of the job; always completes with the receipt of this run."""

    @workflow.signal
    @abstractmethod
    def cancel(self, request: CancelRequest | None = None) -> None:
        """Start no more provider calls; deliver and charge those in progress, then end `cancelled`."""

    @workflow.signal
    @abstractmethod
    def pause(self, request: PauseRequest | None = None) -> None:
        """Start no more provider calls until `resume`."""

    @workflow.signal
    @abstractmethod
    def resume(self, request: ResumeRequest | None = None) -> None:
        """Lift a pause, whether a user or a spent quota caused it."""

    @workflow.signal
    @abstractmethod
    def report(self, report: BatchReport) -> None:
        """What a batch delivered since its last report; sent by the job's own children."""

    @workflow.query
    @abstractmethod
    def progress(self) -> Progress:
        """The job as it stands (spec §6)."""


@workflow.defn(name="WebhookWorkflow")
class Webhook(ABC):
    """The delivery of one event to one receiver."""

    @workflow.run
    @abstractmethod
    async def run(self, event: WebhookInput) -> WebhookDelivered:
        """Send the event until the receiver accepts it; fails when it never does."""


@workflow.defn(name="StartWaitingJobsWorkflow")
class StartWaitingJobs(ABC):
    """One scan for jobs that have no workflow."""

    @workflow.run
    @abstractmethod
    async def run(self) -> int:
        """Start them; the number of jobs started."""


@workflow.defn(name="HousekeepingWorkflow")
class Housekeeping(ABC):
    """One round of housekeeping."""

    @workflow.run
    @abstractmethod
    async def run(self) -> Tidied:
        """Repair what crashes and terminated workflows left behind; what was found."""


@workflow.defn(name="WorkerReportsWorkflow")
class AskingWorkers(ABC):
    """A question to running workers."""

    @workflow.run
    @abstractmethod
    async def run(self, asked: AskWorkers) -> WorkerReports:
        """Ask one worker of each task queue what it has; answers within 10 s."""


def innermost(error: BaseException) -> BaseException:
    """What the other side did, under what Temporal says of the attempts."""
    while isinstance(error, exceptions.ActivityError | exceptions.TimeoutError) and error.cause is not None:
        error = error.cause
    return error
