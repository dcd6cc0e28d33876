"""The records of jobs and their runs."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from darkroom.domain.jobs import (
    CloseRun,
    Control,
    JobRow,
    NewJob,
    NumberedRequest,
    OpenedRun,
    Request,
    StartRun,
)
from darkroom.domain.money import Terms
from darkroom.domain.orders import Order
from darkroom.domain.receipts import Receipt
from darkroom.domain.stored import OrderSource


class JobRecords(Protocol):
    """Jobs from the order to the end of their last run."""

    async def create_job(self, job: NewJob) -> bool:
        """Store a pending job; False when the id is there already (nothing is changed then)."""
        ...

    async def job(self, job_id: UUID) -> JobRow | None:
        """The job's row as clients poll it."""
        ...

    async def unfinished_jobs(self, *, processing: bool = True) -> Sequence[JobRow]:
        """All jobs that are pending and, unless `processing` is false, those that are processing; oldest first."""
        ...

    async def order_source(self, job_id: UUID) -> OrderSource:
        """What `open_job` reads: the document, unless the stages are stored already.

        Raises:
            JobNotFound: no such row.
        """
        ...

    async def open_run(
        self, start: StartRun, order: Order | None, terms: Terms, rejection: str | None = None
    ) -> OpenedRun:
        """Open a run: store the stages the first time, set the hold, make the job `processing`.

        `order` may be None when the stages are stored; `rejection` opens a run that can only fail.
        """
        ...

    async def take_request(self, job_id: UUID, request: Request, reason: str | None) -> NumberedRequest:
        """Take down and number what a client asks of a job; nothing of it is carried out yet.

        Whether it asks for anything new is judged by the requests before it, whether they are carried out or not.

        Raises:
            JobNotFound: no such row.
        """
        ...

    async def withdraw_request(self, job_id: UUID, number: int) -> None:
        """Forget a request that could not be sent, unless it was carried out."""
        ...

    async def set_control(self, job_id: UUID, run_id: str, control: Control) -> int | None:
        """Write what was asked of a running job; from then on no attempt begins if it holds.

        A version that is not newer than the one stored changes nothing. Gives the version that is stored then; None
        when another run has the job.
        """
        ...

    async def cancelled_rows(self, job_id: UUID | None = None) -> Sequence[JobRow]:
        """Jobs whose row somebody else set to cancelled, and whose run has not heard of it; all of them, or this one.

        Their rows hold every attempt from then on. A run has heard of it once its control says why it is cancelled.
        """
        ...

    async def cancel_pending(self, job_id: UUID, reason: str | None) -> bool:
        """Make a job that no run has opened `cancelled`; False when there is no such job."""
        ...

    async def refresh(self, job_id: UUID) -> None:
        """Make the job's row show everything that is settled."""
        ...

    async def close_run(self, close: CloseRun) -> Receipt:
        """End the job: final row, production row, release of the hold, receipt.

        Raises:
            RunRefused: another run has taken over.
        """
        ...
