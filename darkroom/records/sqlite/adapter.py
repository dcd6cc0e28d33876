"""The port's methods, each one transaction of the modules beside this one."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

from darkroom.domain.attempts import Attempt, AttemptEnd, BegunAttempt, OpenCall
from darkroom.domain.deleting import DeletedFiles, Deletion
from darkroom.domain.finding import JobState
from darkroom.domain.groups import Attached, AttachGroupInput, CreditGroupInput
from darkroom.domain.images import AttachInput, AttachResult, ImageKey
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
from darkroom.domain.money import Account, JournalRow, SettledImage, Terms
from darkroom.domain.movement import Movement, RecentCalls
from darkroom.domain.orders import Order, ReferenceOwner, Stage
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.receipts import Receipt
from darkroom.domain.rounds import StageCounts
from darkroom.domain.snapshots import DeliveryMark, JobCursor, JobSnapshot, JobSummary
from darkroom.domain.sources import PictureOrigin, PictureSource
from darkroom.domain.statistics import Statistics
from darkroom.domain.stored import DeliveredImage, NewReference, OrderSource, ProductionOwner, StoredFile
from darkroom.domain.storybook import Book, BookResult, Page
from darkroom.domain.wallets import OrganizationAccount
from darkroom.domain.webhooks import Ending
from darkroom.records.sqlite import (
    accounts,
    auditing,
    books,
    calls,
    closing,
    deleting,
    finding,
    groups,
    images,
    members,
    movement,
    naming,
    opening,
    reading,
    rows,
    settling,
    steering,
    watching,
)
from darkroom.records.sqlite.database import Database
from darkroom.records.sqlite.refreshing import refresh
from darkroom.records.sqlite.signing_in import SqliteSignIns
from darkroom.records.sqlite.statistics import statistics


class SqliteRecords(SqliteSignIns):
    """Records in one SQLite file; give `:memory:` for records that live as long as this object.

    What each method promises is said once, by the roles in `darkroom.records`.

    Args:
        path: of the file.
        cancelled: the word that it writes for a cancelled job (`CANCELLED_STATUS`).
    """

    def __init__(self, path: Path | str, cancelled: str = JobStatus.CANCELLED) -> None:
        super().__init__(Database(path))
        self._cancelled = cancelled

    async def ensure_member(self, user_id: UUID, opening_balance: int) -> None:
        await self._db.write(accounts.ensure_member, user_id, opening_balance)

    async def grant(self, user_id: UUID, amount: int, idempotency_key: str) -> Account:
        return await self._db.write(accounts.grant, user_id, amount, idempotency_key)

    async def account(self, user_id: UUID) -> Account | None:
        return await self._db.read(accounts.account, user_id)

    async def journal(self, user_id: UUID, limit: int) -> Sequence[JournalRow]:
        return await self._db.read(accounts.journal, user_id, limit)

    async def grant_organization(self, org_id: UUID, amount: int, idempotency_key: str) -> OrganizationAccount:
        return await self._db.write(accounts.grant_organization, org_id, amount, idempotency_key)

    async def organization(self, org_id: UUID) -> OrganizationAccount | None:
        return await self._db.read(accounts.organization, org_id)

    async def organizations(self, user_id: UUID) -> Sequence[OrganizationAccount]:
        return await self._db.read(accounts.organizations, user_id)

    async def membership(self, org_id: UUID, user_id: UUID) -> str | None:
        return await self._db.read(accounts.membership, org_id, user_id)

    async def organization_journal(self, org_id: UUID, limit: int) -> Sequence[JournalRow]:
        return await self._db.read(accounts.organization_journal, org_id, limit)

    async def reference_owners(self, attach_ids: Collection[int]) -> Mapping[int, ReferenceOwner]:
        return await self._db.read(members.reference_owners, attach_ids)

    async def production_owner(self, production_id: UUID) -> ProductionOwner | None:
        return await self._db.read(members.production_owner, production_id)

    async def stored_file(self, attach_id: int) -> StoredFile | None:
        return await self._db.read(members.stored_file, attach_id)

    async def add_reference(self, reference: NewReference) -> int:
        return await self._db.write(members.add_reference, reference)

    async def create_job(self, job: NewJob) -> bool:
        return await self._db.write(opening.create_job, job)

    async def job(self, job_id: UUID) -> JobRow | None:
        return await self._db.read(reading.job, job_id)

    async def jobs(self, status: JobStatus | None, limit: int) -> Sequence[JobRow]:
        return await self._db.read(reading.jobs, status, limit)

    async def job_page(
        self,
        limit: int,
        *,
        statuses: Collection[JobState] = (),
        user_id: UUID | None = None,
        before: JobCursor | None = None,
        words: Sequence[str] = (),
        day: date | None = None,
    ) -> Sequence[JobSummary]:
        return await self._db.read(finding.job_page, limit, statuses, user_id, before, words, day)

    async def found_jobs(
        self, limit: int, *, statuses: Collection[JobState] = (), words: Sequence[str] = (), day: date | None = None
    ) -> Sequence[JobRow]:
        return await self._db.read(finding.found_jobs, limit, statuses, words, day)

    async def rename_job(self, job_id: UUID, name: str | None) -> None:
        await self._db.write(naming.rename_job, job_id, name)

    async def jobs_beginning(self, prefix: str, limit: int) -> Sequence[JobRow]:
        return await self._db.read(reading.jobs_beginning, prefix, limit)

    async def unfinished_jobs(self, *, processing: bool = True) -> Sequence[JobRow]:
        return await self._db.read(reading.unfinished_jobs, processing=processing)

    async def order_source(self, job_id: UUID) -> OrderSource:
        return await self._db.read(opening.order_source, job_id)

    async def open_run(
        self, start: StartRun, order: Order | None, terms: Terms, rejection: str | None = None
    ) -> OpenedRun:
        return await self._db.write(opening.open_run, start, order, terms, rejection)

    async def stage(self, job_id: UUID, stage_index: int) -> Stage:
        return await self._db.read(reading.stage, job_id, stage_index)

    async def stages(self, job_id: UUID) -> Sequence[Stage]:
        return await self._db.read(reading.stages, job_id)

    async def take_request(self, job_id: UUID, request: Request, reason: str | None) -> NumberedRequest:
        return await self._db.write(steering.take_request, job_id, request, reason)

    async def withdraw_request(self, job_id: UUID, number: int) -> None:
        await self._db.write(steering.withdraw_request, job_id, number)

    async def set_control(self, job_id: UUID, run_id: str, control: Control) -> int | None:
        return await self._db.write(steering.set_control, job_id, run_id, control)

    async def cancel_pending(self, job_id: UUID, reason: str | None) -> bool:
        return await self._db.write(steering.cancel_pending, job_id, reason, self._cancelled)

    async def cancelled_rows(self, job_id: UUID | None = None) -> Sequence[JobRow]:
        return await self._db.read(steering.cancelled_rows, job_id)

    async def next_ordinals(self, job_id: UUID, stage_index: int, limit: int) -> Sequence[int]:
        return await self._db.read(images.next_ordinals, job_id, stage_index, limit)

    async def begin_attempt(self, attempt: Attempt, *, looked: bool) -> BegunAttempt:
        return await self._db.write_in_turn(images.begin_attempt, attempt, looked=looked)

    async def unsettled_attempts(
        self, job_id: UUID, stage_index: int, after: int, limit: int
    ) -> Sequence[tuple[int, UUID]]:
        return await self._db.read(calls.unsettled_attempts, job_id, stage_index, after, limit)

    async def open_calls(self, job_id: UUID, stage_index: int, within_seconds: float) -> Sequence[OpenCall]:
        return await self._db.read(calls.open_calls, job_id, stage_index, within_seconds)

    async def finish_attempt(self, call_id: UUID, end: AttemptEnd) -> None:
        await self._db.write_in_turn(images.finish_attempt, call_id, end)

    async def note_source(self, call_id: UUID, source: PictureSource) -> PictureOrigin:
        return await self._db.write_in_turn(calls.note_source, call_id, source)

    async def attach(self, image: AttachInput) -> AttachResult:
        return await self._db.write(images.attach, image)

    async def attach_group(self, group: AttachGroupInput) -> Sequence[Attached]:
        return await self._db.write(groups.attach_group, group, self._db.refusal)

    async def settle(self, key: ImageKey, run_id: str) -> SettledImage:
        return await self._db.write(settling.settle, key, run_id)

    async def settle_group(self, group: CreditGroupInput) -> Sequence[SettledImage]:
        return await self._db.write(groups.settle_group, group, self._db.refusal)

    async def refresh(self, job_id: UUID) -> None:
        await self._db.write(refresh, job_id)

    async def stage_counts(self, job_id: UUID, stage_index: int) -> StageCounts:
        return await self._db.read(rows.stage_counts, job_id, stage_index)

    async def delivered_pairs(
        self, job_id: UUID, stage_index: int, after: int, limit: int
    ) -> Sequence[tuple[int, int]]:
        return await self._db.read(reading.delivered_pairs, job_id, stage_index, after, limit)

    async def close_run(self, close: CloseRun) -> Receipt:
        return await self._db.write(closing.close_run, close, self._cancelled)

    async def keep_webhook(self, job_id: UUID, url: str) -> None:
        await self._db.write(opening.keep_webhook, job_id, url)

    async def ending(self, job_id: UUID, run_id: str | None) -> Ending | None:
        return await self._db.read(reading.ending, job_id, run_id)

    async def may_remove_leftovers(self, job_id: UUID, run_id: str, failed_before: datetime | None = None) -> bool:
        return await self._db.read(closing.may_remove_leftovers, job_id, run_id, failed_before)

    async def drop_undelivered(self, job_id: UUID, run_id: str, failed_before: datetime | None = None) -> None:
        await self._db.write(closing.drop_undelivered, job_id, run_id, failed_before)

    async def receipt(self, job_id: UUID) -> Receipt | None:
        return await self._db.read(reading.receipt, job_id)

    async def progress(self, job_id: UUID) -> Progress | None:
        return await self._db.read(reading.progress, job_id)

    async def snapshot(self, job_id: UUID, after: DeliveryMark | None, limit: int) -> JobSnapshot | None:
        return await self._db.read(watching.snapshot, job_id, after, limit)

    async def movement(self, job_id: UUID, since: datetime) -> Movement | None:
        return await self._db.read(movement.movement, job_id, since)

    async def recent_calls(self, since: datetime) -> Sequence[RecentCalls]:
        return await self._db.read(movement.recent_calls, since)

    async def delivered_images(self, job_id: UUID | None, after: int, limit: int) -> Sequence[DeliveredImage]:
        return await self._db.read(reading.delivered_images, job_id, after, limit)

    async def deletion(self, job_id: UUID) -> Deletion | None:
        return await self._db.read(deleting.deletion, job_id)

    async def begin_delete(self, job_id: UUID) -> Deletion:
        return await self._db.write(deleting.begin_delete, job_id)

    async def deleted_files(self, job_id: UUID, after: int, limit: int) -> tuple[DeletedFiles, int | None]:
        return await self._db.read(deleting.deleted_files, job_id, after, limit)

    async def finish_delete(self, job_id: UUID) -> None:
        await self._db.write(deleting.finish_delete, job_id)

    async def unfinished_deletes(self, limit: int) -> Sequence[UUID]:
        return await self._db.read(deleting.unfinished_deletes, limit)

    async def ended_jobs(self, before: datetime, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[Deletion]:
        return await self._db.read(deleting.ended_jobs, before, after, limit)

    async def book(self, book_id: UUID) -> Book | None:
        return await self._db.read(books.book, book_id)

    async def ensure_book(self, book: Book) -> None:
        await self._db.write(books.ensure_book, book)

    async def book_of(self, job_id: UUID) -> Book | None:
        return await self._db.read(books.book_of, job_id)

    async def book_pages(self, job_id: UUID) -> Sequence[Page]:
        return await self._db.read(books.book_pages, job_id)

    async def finish_book(self, job_id: UUID, run_id: str, result: BookResult, *, pictures_done: bool) -> None:
        await self._db.write(books.finish_book, job_id, run_id, result, pictures_done=pictures_done)

    async def statistics(self, since: date) -> Statistics:
        return await self._db.read(statistics, since)

    async def release_ended_holds(self) -> Sequence[UUID]:
        return await self._db.write(closing.release_ended_holds)

    async def audit(self) -> Sequence[str]:
        return await self._db.read(auditing.audit)

    async def close(self) -> None:
        await self._db.close()
