"""The port to what is remembered: jobs, attachments, holds, settlements, progress.

Each method is one transaction. Every changing method may be called twice with the same arguments and
then changes nothing the second time. All of them raise `RecordsUnavailable` for a transient error.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from darkroom.domain.attempts import Attempt, AttemptEnd, BegunAttempt
from darkroom.domain.images import AttachInput, AttachResult, ImageKey
from darkroom.domain.jobs import CloseRun, Control, JobRow, NewJob, OpenedRun, StartRun
from darkroom.domain.keys import ApiKey, NewApiKey
from darkroom.domain.money import Account, JournalRow, SettledImage, Terms
from darkroom.domain.orders import Order, ReferenceOwner, Stage
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.receipts import Receipt
from darkroom.domain.rounds import StageCounts
from darkroom.domain.snapshots import DeliveryMark, JobCursor, JobSnapshot, JobSummary
from darkroom.domain.statistics import Statistics
from darkroom.domain.stored import DeliveredImage, NewReference, OrderSource, ProductionOwner, StoredFile
from darkroom.domain.storybook import Book, BookResult, Page
from darkroom.domain.webhooks import Ending


class Records(Protocol):
    """What Darkroom remembers, whichever database keeps it."""

    async def ensure_member(self, user_id: UUID, opening_balance: int) -> None:
        """Create the member with this balance unless there is one."""
        ...

    async def grant(self, user_id: UUID, amount: int, idempotency_key: str) -> Account:
        """Add credits to a member (created when missing) with a journal row `GRANT`."""
        ...

    async def account(self, user_id: UUID) -> Account | None:
        """A member's balance and holds; None without a member row."""
        ...

    async def journal(self, user_id: UUID, limit: int) -> Sequence[JournalRow]:
        """A member's newest journal rows, newest first."""
        ...

    async def reference_owners(self, attach_ids: Collection[int]) -> Mapping[int, ReferenceOwner]:
        """Those of the attachments that exist and can be shown, with their owners."""
        ...

    async def production_owner(self, production_id: UUID) -> ProductionOwner | None:
        """Whose production it is; None when there is no such row."""
        ...

    async def stored_file(self, attach_id: int) -> StoredFile | None:
        """Where an attachment's file lies; None when there is none that can be shown."""
        ...

    async def add_reference(self, reference: NewReference) -> int:
        """Record an uploaded picture; the same picture of the same user is the same attachment."""
        ...

    async def create_job(self, job: NewJob) -> bool:
        """Store a pending job; False when the id is there already (nothing is changed then)."""
        ...

    async def job(self, job_id: UUID) -> JobRow | None:
        """The job's row as clients poll it."""
        ...

    async def jobs(self, status: JobStatus | None, limit: int) -> Sequence[JobRow]:
        """Jobs, newest first."""
        ...

    async def job_page(
        self,
        limit: int,
        *,
        status: JobStatus | None = None,
        user_id: UUID | None = None,
        before: JobCursor | None = None,
    ) -> Sequence[JobSummary]:
        """A page of a list of jobs, newest first: those older than `before`; one user's, or all."""
        ...

    async def jobs_beginning(self, prefix: str, limit: int) -> Sequence[JobRow]:
        """Jobs whose id, in lower case, begins like this."""
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

    async def stage(self, job_id: UUID, stage_index: int) -> Stage:
        """One stored stage with its prompt and references.

        Raises:
            JobNotFound: no such stage.
        """
        ...

    async def stages(self, job_id: UUID) -> Sequence[Stage]:
        """All stored stages of a job, in order; none before it first opened."""
        ...

    async def set_control(self, job_id: UUID, run_id: str, control: Control) -> bool:
        """Write what was asked of a running job; from then on no attempt begins if it holds.

        An older version than the one stored, or another run's, changes nothing and gives False.
        """
        ...

    async def cancel_pending(self, job_id: UUID, reason: str | None) -> bool:
        """Make a job that no run has opened `cancelled`; False when it is not such a one."""
        ...

    async def next_ordinals(self, job_id: UUID, stage_index: int, limit: int) -> Sequence[int]:
        """The ordinals to make next, ascending, at most `limit` and at most a page."""
        ...

    async def begin_attempt(self, attempt: Attempt, *, looked: bool) -> BegunAttempt:
        """Ask to call the provider; writes the attempt's row before it is called (spec §3)."""
        ...

    async def unsettled_attempts(
        self, job_id: UUID, stage_index: int, after: int, limit: int
    ) -> Sequence[tuple[int, UUID]]:
        """`(ordinal, call_id)` of calls that may have left a picture which is not delivered.

        The newest such call of each ordinal above `after`, ascending.
        """
        ...

    async def finish_attempt(self, call_id: UUID, end: AttemptEnd) -> None:
        """Write how a call ended, unless that is written already."""
        ...

    async def attach(self, image: AttachInput) -> AttachResult:
        """Insert the attachment of an image or find the one that is there."""
        ...

    async def settle(self, key: ImageKey, run_id: str) -> SettledImage:
        """Make an image count and charge for it, once (spec §4)."""
        ...

    async def refresh(self, job_id: UUID) -> None:
        """Make the job's row show everything that is settled."""
        ...

    async def stage_counts(self, job_id: UUID, stage_index: int) -> StageCounts:
        """What the records know of one stage."""
        ...

    async def delivered_pairs(
        self, job_id: UUID, stage_index: int, after: int, limit: int
    ) -> Sequence[tuple[int, int]]:
        """Delivered `(ordinal, attach_id)` of a stage above the ordinal `after`, ascending."""
        ...

    async def close_run(self, close: CloseRun) -> Receipt:
        """End the job: final row, production row, release of the hold, receipt.

        Raises:
            RunRefused: another run has taken over.
        """
        ...

    async def keep_webhook(self, job_id: UUID, url: str) -> None:
        """Keep the webhook URL of a job whose order is rejected; the URL of a stored order wins."""
        ...

    async def ending(self, job_id: UUID, run_id: str | None) -> Ending | None:
        """How a closed run of a job ended, and where its webhook goes; None for a run that is not closed, or not there.

        Without a run: how a job ended that was cancelled before any run opened it.
        """
        ...

    async def may_remove_leftovers(self, job_id: UUID, run_id: str, failed_before: datetime | None = None) -> bool:
        """Whether this run ended the job, completed or cancelled, and no later run has opened it.

        A failed job's pictures wait for a restart; they may go when it ended before `failed_before`.
        """
        ...

    async def drop_undelivered(self, job_id: UUID, run_id: str, failed_before: datetime | None = None) -> None:
        """Delete the attachment rows of a job's images that were never delivered, if this run may."""
        ...

    async def receipt(self, job_id: UUID) -> Receipt | None:
        """The receipt of the job's last closed run."""
        ...

    async def progress(self, job_id: UUID) -> Progress | None:
        """Progress as the records know it."""
        ...

    async def snapshot(self, job_id: UUID, after: DeliveryMark | None, limit: int) -> JobSnapshot | None:
        """A job as those see it who watch it; with at most `limit` pictures behind the mark. None without a row."""
        ...

    async def delivered_images(self, job_id: UUID | None, after: int, limit: int) -> Sequence[DeliveredImage]:
        """Delivered images with an attach_id above `after`, ascending; of one job, or of all."""
        ...

    async def book(self, book_id: UUID) -> Book | None:
        """A book's row; None when there is none."""
        ...

    async def ensure_book(self, book: Book) -> None:
        """Create the book's row unless there is one."""
        ...

    async def book_of(self, job_id: UUID) -> Book | None:
        """The book whose pages a job makes; None when its order names none."""
        ...

    async def book_pages(self, job_id: UUID) -> Sequence[Page]:
        """A storybook's pages in their order, each with its delivered picture or its last error."""
        ...

    async def finish_book(self, job_id: UUID, run_id: str, result: BookResult, *, pictures_done: bool) -> None:
        """Write on the book's row what came of its pages, if this run is the job's open one.

        With `pictures_done` the book moves on to its next stage; else only what happened is written.
        """
        ...

    async def statistics(self, since: date) -> Statistics:
        """What providers did and how jobs ended, by day, from the beginning of a day (UTC) on."""
        ...

    async def release_ended_holds(self) -> Sequence[UUID]:
        """Release what is still held of jobs that have ended; the jobs that had such a hold."""
        ...

    async def add_api_key(self, key: NewApiKey) -> None:
        """Keep a key."""
        ...

    async def api_key(self, key_hash: str) -> ApiKey | None:
        """The key with this hash; None when there is none, or it is revoked."""
        ...

    async def api_keys(self) -> Sequence[ApiKey]:
        """All keys, newest first, revoked ones too."""
        ...

    async def revoke_api_key(self, key_id: UUID) -> bool:
        """Let a key open nothing any more; False when there is none with this id. Twice is no harm."""
        ...

    async def audit(self) -> Sequence[str]:
        """Each broken invariant of spec §4 that the records alone can show, in words."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
