"""The port's methods, each one call of a SQL function."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any
from uuid import UUID

from darkroom.domain import rounds
from darkroom.domain.errors import JobNotFound
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
from darkroom.domain.money import StagePrices, Terms
from darkroom.domain.orders import Order, ReferenceOwner, Stage
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.receipts import Receipt
from darkroom.domain.statistics import Statistics
from darkroom.domain.stored import DeliveredImage, NewReference, OrderSource, ProductionOwner, StoredFile
from darkroom.domain.storybook import Book, BookResult, Page
from darkroom.domain.webhooks import Ending
from darkroom.records.broken_rows import read_of, read_row, readable
from darkroom.records.supabase.accounts import SupabaseAccounts
from darkroom.records.supabase.deleting import SupabaseDeleting
from darkroom.records.supabase.functions import Functions, keepable
from darkroom.records.supabase.images import SupabaseImages
from darkroom.records.supabase.keys import SupabaseKeys
from darkroom.records.supabase.watching import SupabaseWatching
from darkroom.supabase import Supabase

UNFINISHED_PAGE = 200


class SupabaseRecords(SupabaseAccounts, SupabaseDeleting, SupabaseImages, SupabaseKeys, SupabaseWatching):
    """Records in a Supabase project, reached with the service role's key.

    What each method promises is said once, by the roles in `darkroom.records`.

    Args:
        supabase: the project.
        cancelled: the word that it writes for a cancelled job (`CANCELLED_STATUS`).
    """

    def __init__(self, supabase: Supabase, cancelled: str = JobStatus.CANCELLED) -> None:
        super().__init__(Functions(supabase))
        self._cancelled = cancelled

    async def reference_owners(self, attach_ids: Collection[int]) -> Mapping[int, ReferenceOwner]:
        if not attach_ids:
            return {}
        owners = await self._call("reference_owners", attach_ids=list(attach_ids))
        return {owner["attach_id"]: ReferenceOwner.model_validate(owner) for owner in owners}

    async def production_owner(self, production_id: UUID) -> ProductionOwner | None:
        owner = await self._call("production_owner", production_id=str(production_id))
        return None if owner is None else ProductionOwner.model_validate(owner)

    async def stored_file(self, attach_id: int) -> StoredFile | None:
        file = await self._call("stored_file", attach_id=attach_id)
        return None if file is None else StoredFile.model_validate(file)

    async def add_reference(self, reference: NewReference) -> int:
        return int(await self._call("add_reference", reference=reference.model_dump(mode="json")))

    async def create_job(self, job: NewJob) -> bool:
        return bool(await self._call("create_job", job=job.model_dump(mode="json")))

    async def job(self, job_id: UUID) -> JobRow | None:
        row = await self._call("job", job_id=str(job_id))
        return None if row is None else read_row(JobRow, row)

    async def rename_job(self, job_id: UUID, name: str | None) -> None:
        await self._call("rename_job", job_id=str(job_id), name=name)

    async def jobs(self, status: JobStatus | None, limit: int) -> Sequence[JobRow]:
        return _jobs(await self._call("jobs", status=status, limit=limit))

    async def jobs_beginning(self, prefix: str, limit: int) -> Sequence[JobRow]:
        return _jobs(await self._call("jobs_beginning", prefix=prefix, limit=limit))

    async def unfinished_jobs(self, *, processing: bool = True) -> Sequence[JobRow]:
        found: list[JobRow] = []
        after: dict[str, str | None] = {"after_created": None, "after_id": None}
        while True:
            page = await self._call("unfinished_jobs", processing=processing, limit=UNFINISHED_PAGE, **after)
            found += _jobs(page)
            if len(page) < UNFINISHED_PAGE:
                return found
            after = {"after_created": page[-1]["created_at"], "after_id": page[-1]["job_id"]}

    async def order_source(self, job_id: UUID) -> OrderSource:
        return read_row(OrderSource, await self._call("order_source", job_id=str(job_id)))

    async def open_run(
        self, start: StartRun, order: Order | None, terms: Terms, rejection: str | None = None
    ) -> OpenedRun:
        opened = await self._call(
            "open_run",
            **start.model_dump(mode="json", exclude={"stages_after"}),
            order=None if order is None else _opening(order, terms),
            provider=",".join(terms.providers),
            rejection=keepable(rejection),
        )
        return OpenedRun.model_validate(opened)

    async def stage(self, job_id: UUID, stage_index: int) -> Stage:
        stage = await self._call("stage", job_id=str(job_id), stage_index=stage_index)
        if stage is None:
            raise JobNotFound(f"job {job_id} has no stage {stage_index}")
        with read_of(job_id, f"stage {stage_index}"):
            return Stage.model_validate(stage)

    async def stages(self, job_id: UUID) -> Sequence[Stage]:
        stages = await self._call("stages", job_id=str(job_id))
        with read_of(job_id, "stages"):
            return [Stage.model_validate(stage) for stage in stages]

    async def take_request(self, job_id: UUID, request: Request, reason: str | None) -> NumberedRequest:
        taken = await self._call("take_request", job_id=str(job_id), request=request, reason=keepable(reason))
        return NumberedRequest.model_validate(taken)

    async def withdraw_request(self, job_id: UUID, number: int) -> None:
        await self._call("withdraw_request", job_id=str(job_id), number=number)

    async def set_control(self, job_id: UUID, run_id: str, control: Control) -> int | None:
        asked = control.model_dump(mode="json") | {"reason": keepable(control.reason)}
        version: int | None = await self._call("apply_control", job_id=str(job_id), run_id=run_id, control=asked)
        return version

    async def cancel_pending(self, job_id: UUID, reason: str | None) -> bool:
        asked = {"job_id": str(job_id), "reason": keepable(reason), "cancelled": self._cancelled}
        return bool(await self._call("cancel_unopened", **asked))

    async def cancelled_rows(self, job_id: UUID | None = None) -> Sequence[JobRow]:
        return _jobs(await self._call("cancelled_rows", job_id=None if job_id is None else str(job_id)))

    async def refresh(self, job_id: UUID) -> None:
        await self._call("refresh", job_id=str(job_id))

    async def close_run(self, close: CloseRun) -> Receipt:
        ended = close.model_dump(mode="json", exclude={"unopened", "ends"}) | {
            "error_message": keepable(close.error_message)
        }
        for stage in ended["stages"]:
            stage["reason"] = keepable(stage["reason"])
        return Receipt.model_validate(await self._call("end_run", **ended, cancelled=self._cancelled, costs=True))

    async def keep_webhook(self, job_id: UUID, url: str) -> None:
        await self._call("keep_webhook", job_id=str(job_id), url=url)

    async def ending(self, job_id: UUID, run_id: str | None) -> Ending | None:
        ending = await self._call("ending", job_id=str(job_id), run_id=run_id)
        return None if ending is None else read_row(Ending, ending)

    async def may_remove_leftovers(self, job_id: UUID, run_id: str, failed_before: datetime | None = None) -> bool:
        return bool(await self._call("may_remove_leftovers", **_leftovers(job_id, run_id, failed_before)))

    async def drop_undelivered(self, job_id: UUID, run_id: str, failed_before: datetime | None = None) -> None:
        await self._call("drop_undelivered", **_leftovers(job_id, run_id, failed_before))

    async def receipt(self, job_id: UUID) -> Receipt | None:
        receipt = await self._call("receipt", job_id=str(job_id))
        with read_of(job_id, "receipt"):
            return None if receipt is None else Receipt.model_validate(receipt)

    async def progress(self, job_id: UUID) -> Progress | None:
        progress = await self._call("progress", job_id=str(job_id), most_ids=rounds.MAX_IMAGES_WITH_IDS)
        return None if progress is None else read_row(Progress, progress)

    async def delivered_images(self, job_id: UUID | None, after: int, limit: int) -> Sequence[DeliveredImage]:
        job = None if job_id is None else str(job_id)
        images = await self._call("delivered_images", job_id=job, after=after, limit=limit)
        return [DeliveredImage.model_validate(image) for image in images]

    async def book(self, book_id: UUID) -> Book | None:
        book = await self._call("book", book_id=str(book_id))
        return None if book is None else Book.model_validate(book)

    async def ensure_book(self, book: Book) -> None:
        await self._call("ensure_book", **book.model_dump(mode="json"))

    async def book_of(self, job_id: UUID) -> Book | None:
        book = await self._call("book_of", job_id=str(job_id))
        return None if book is None else Book.model_validate(book)

    async def book_pages(self, job_id: UUID) -> Sequence[Page]:
        return [Page.model_validate(page) for page in await self._call("book_pages", job_id=str(job_id))]

    async def finish_book(self, job_id: UUID, run_id: str, result: BookResult, *, pictures_done: bool) -> None:
        summary = result.model_dump(mode="json")
        await self._call("finish_book", job_id=str(job_id), run_id=run_id, result=summary, pictures_done=pictures_done)

    async def statistics(self, since: date) -> Statistics:
        return Statistics.model_validate(await self._call("statistics", since=since.isoformat(), costs=True))

    async def release_ended_holds(self) -> Sequence[UUID]:
        return [UUID(job_id) for job_id in await self._call("release_ended_holds")]

    async def audit(self) -> Sequence[str]:
        lines: list[str] = await self._call("audit")
        return lines

    async def close(self) -> None:
        await self._functions.close()


def _leftovers(job_id: UUID, run_id: str, failed_before: datetime | None) -> dict[str, Any]:
    before = None if failed_before is None else failed_before.isoformat()
    return {"job_id": str(job_id), "run_id": run_id, "failed_before": before}


def _jobs(rows: list[Any]) -> list[JobRow]:
    return list(readable(rows, partial(read_row, JobRow)))


def _opening(order: Order, terms: Terms) -> dict[str, Any]:
    """The order as the first opening stores it: with its price, and what each stage may deliver."""
    prices = terms.prices.of_stages(order)
    kept = StagePrices.of(prices)
    targets = rounds.allot([stage.quantity for stage in order.stages], order.max_credits, prices)
    return {
        **order.model_dump(mode="json"),
        "provider": ",".join(order.providers) or None,
        "total_images": order.total_images,
        "unit_price": kept.job,
        "max_top_ups": terms.top_ups(order),
        "stages": [
            {**stage.model_dump(mode="json"), "target": target, "unit_price": price}
            for stage, target, price in zip(order.stages, targets, kept.stages, strict=True)
        ],
    }
