"""Jobs: lists, progress, pictures, receipts and controls."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from darkroom.api.allowances import Held
from darkroom.api.guarded_routes import GuardedRoute
from darkroom.api.job_lists import Day, read_cursor, read_states, write_cursor
from darkroom.api.problems import Problem, documented
from darkroom.api.public_urls import PublicUrls
from darkroom.api.routes.waiting import until_changed, until_ended, until_opened_again
from darkroom.api.services import Changing, Services, SignedIn, Urls, Use
from darkroom.api.shapes import ImagePage, JobPage, JobView, OrderedDocument, ReferenceThumbnail, SteerAnswer
from darkroom.api.sign_in import Caller
from darkroom.api.views import job_view, listed, read_by
from darkroom.client.jobs import Client
from darkroom.client.results import ControlResult
from darkroom.domain.clean_text import CleanLine
from darkroom.domain.deleting import DELETED, Deletion
from darkroom.domain.errors import OrderRejected
from darkroom.domain.finding import LONGEST_SEARCH, words_in
from darkroom.domain.job_names import GivenName
from darkroom.domain.orders import Stage
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt
from darkroom.domain.snapshots import JobCursor
from darkroom.orders import read_order
from darkroom.orders.again import document_again

router = APIRouter(prefix="/api/jobs", tags=["jobs"], route_class=GuardedRoute)

JobId = Annotated[UUID, Path(description="The job's id.")]
LONGEST_WAIT = 60
OPENING_PATIENCE = 5.0
"""Seconds that a restart waits for its run to open before it responds."""


class ControlRequest(BaseModel):
    """An optional reason for a cancel or a pause."""

    reason: CleanLine | None = Field(default=None, max_length=500)


class ChangeJob(BaseModel):
    """What is to be changed of a job."""

    model_config = ConfigDict(extra="forbid")

    name: GivenName = Field(max_length=1_000, description="What to call it, at most 120 characters; null for nothing.")


class CancelJob(ControlRequest):
    """The job to cancel, and an optional reason."""

    job_id: UUID


@router.get("", responses=documented())
async def jobs(
    caller: SignedIn,
    use: Use,
    urls: Urls,
    *,
    status: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Only jobs with one of these statuses, separated by commas. `running` and `paused` are "
            "processing, `short` ones are completed with pictures missing.",
        ),
    ] = None,
    search: Annotated[
        str | None,
        Query(
            max_length=LONGEST_SEARCH,
            description="Only jobs with all of these words in their names and prompts, or at the beginning of their "
            "ids.",
        ),
    ] = None,
    day: Annotated[Day | None, Query(description="Only jobs created on this day (UTC), such as 2026-11-27.")] = None,
    user_id: Annotated[UUID | None, Query(alias="userId", description="Only jobs of this user.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the previous page.")] = None,
) -> JobPage:
    """List jobs, newest first. Operators see the jobs of all users."""
    before = None if cursor is None else read_cursor(cursor)
    if not caller.operator:
        if user_id not in (None, caller.user_id):
            raise Problem(403, "userId: is another user's; leave it out to list your own jobs", field="userId")
        user_id = caller.user_id
    words = words_in(search or "")
    found = await use.parts.records.job_page(
        limit + 1, statuses=read_states(status), user_id=user_id, before=before, words=words, day=day
    )
    shown = found[:limit]
    following = None
    if len(found) > limit:
        following = write_cursor(JobCursor(created_at=shown[-1].created_at, job_id=shown[-1].job_id))
    page = JobPage(jobs=tuple(listed(job, urls) for job in shown), next_cursor=following)
    return read_by(page, operator=caller.operator)


@router.post("/cancel", responses=documented(404, 409, 413, 415, 429))
async def cancel_named(request: CancelJob, caller: Changing, use: Use) -> SteerAnswer:
    """Cancel the job named in the body."""
    return await _cancel(use, caller, request.job_id, request.reason)


@router.get("/{job_id}", responses=documented(404))
async def job(
    job_id: JobId,
    caller: SignedIn,
    use: Use,
    urls: Urls,
    *,
    wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait at most (long polling).")] = 0,
    until: Annotated[Literal["end", "change"], Query(description="Wait for the job's end, or for any change.")] = "end",
) -> JobView:
    """Get a job and its progress, from its workflow, or from the records if that does not answer within 2 s."""
    await use.job(job_id, caller)
    if wait:
        async with use.leases.held(Held.WAIT, caller):
            await (until_ended if until == "end" else until_changed)(use, caller, job_id, wait)
    return await view_of(use, caller, job_id, urls)


async def view_of(use: Services, caller: Caller, job_id: UUID, urls: PublicUrls) -> JobView:
    """A job for clients, in its current state."""
    who = caller.user_id, caller.operator, urls.prefix
    return await use.views.get((job_id, *who), lambda: _view_of(use, caller, job_id, urls))


async def _view_of(use: Services, caller: Caller, job_id: UUID, urls: PublicUrls) -> JobView:
    progress, source = await use.progress(job_id)
    of_job = urls.job(job_id, use.temporal_ui(job_id))
    view = job_view(progress, await use.snapshot(job_id, caller), source, of_job)
    return read_by(view, operator=caller.operator)


@router.patch("/{job_id}", responses=documented(404, 409, 413, 415, 429))
async def change(job_id: JobId, caller: Changing, use: Use, urls: Urls, request: ChangeJob) -> JobView:
    """Rename a job, whether it is running or has ended."""
    await use.job(job_id, caller)
    await use.parts.client(None, use.workers).rename(job_id, request.name)
    return await view_of(use, caller, job_id, urls)


@router.get("/{job_id}/deletion", responses=documented(404))
async def deletion(job_id: JobId, caller: SignedIn, use: Use) -> Deletion:
    """Get what deleting a job would remove, or has removed. `refusal` says why it cannot be deleted now."""
    await use.job(job_id, caller)
    found = await use.parts.client(None, use.workers).deletion(job_id)
    return read_by(found, operator=caller.operator)


@router.delete("/{job_id}", responses=documented(404, 409, 429))
async def delete(job_id: JobId, caller: Changing, use: Use) -> Deletion:
    """Delete a job that has ended: its pictures, prompts and name. Its numbers and its receipt stay."""
    await use.job(job_id, caller)
    return await use.parts.client(None, use.workers).delete(job_id)


@router.get("/{job_id}/order", responses=documented(404, 409))
async def ordered(job_id: JobId, caller: SignedIn, use: Use, urls: Urls) -> OrderedDocument:
    """Get the order of a job, of the same type and with all its options, as a document that can be ordered again."""
    return (await order_of(use, caller, job_id, urls))[1]


async def order_of(
    use: Services, caller: Caller, job_id: UUID, urls: PublicUrls
) -> tuple[tuple[Stage, ...], OrderedDocument]:
    """A job's stages, whatever its type, and its order.

    Raises:
        Problem: 409, it was not created from a valid order.
    """
    row = await use.job(job_id, caller)
    if row.deleted_at is not None:
        raise Problem(409, f"job {job_id} {DELETED}")
    stages = tuple(await use.parts.records.stages(job_id))
    source = await use.parts.records.order_source(job_id)
    if not stages:
        try:
            stages = read_order(source.document, job_type=source.job_type, total_images=row.total_images).order.stages
        except OrderRejected as error:
            raise Problem(409, f"job {job_id} was not created from a valid order: {error}") from None
    # A document that no run has opened may name what is not its user's.
    owners = await use.parts.records.reference_owners({ref.attach_id for stage in stages for ref in stage.references})
    return stages, OrderedDocument(
        document=document_again(source.document, source.job_type, stages),
        references={
            attach_id: ReferenceThumbnail(thumbnail_url=urls.thumbnail(attach_id), name=known.name)
            for attach_id, known in sorted(owners.items())
            if caller.may_see(known.user_id)
        },
    )


@router.get("/{job_id}/images", responses=documented(404))
async def images(
    job_id: JobId,
    caller: SignedIn,
    use: Use,
    urls: Urls,
    *,
    cursor: Annotated[int, Query(ge=0, le=10**9, description="The number of the last picture you have.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    stage: Annotated[int | None, Query(ge=0, le=10**9, description="The index of the one stage to list.")] = None,
) -> ImagePage:
    """List a job's delivered pictures, in order of delivery. Their URLs are signed and valid for a day."""
    await use.job(job_id, caller)
    feed = await use.feeds.once(job_id)
    found = feed.images(cursor, limit, urls, stage)
    more = len(found) == limit and found[-1].number < feed.known
    return ImagePage(images=tuple(found), next_cursor=str(found[-1].number) if more else None)


@router.get("/{job_id}/receipt", responses=documented(404, 409))
async def receipt(job_id: JobId, caller: SignedIn, use: Use) -> Receipt:
    """Get the receipt of an ended job: what was ordered, delivered, missing and charged.

    Operators also get what the provider calls cost.
    """
    row = await use.job(job_id, caller)
    if not row.status.ended:
        raise Problem(409, f"job {job_id} is {row.status}: its receipt is available when it ends", retryable=True)
    found = await use.parts.records.receipt(job_id)
    if found is None:
        raise Problem(409, f"job {job_id} was {row.status} before it started: it has no receipt")
    return read_by(found.drawn_up(use.parts.settings.credit_usd), operator=caller.operator)


@router.post("/{job_id}/cancel", responses=documented(404, 409, 413, 415, 429))
@router.patch("/{job_id}/cancel", responses=documented(404, 409, 413, 415, 429))
async def cancel(
    job_id: JobId, caller: Changing, use: Use, request: Annotated[ControlRequest | None, Body()] = None
) -> SteerAnswer:
    """Cancel a job. Calls in progress are finished, delivered and charged; the status changes when they finish."""
    return await _cancel(use, caller, job_id, request.reason if request else None)


@router.post("/{job_id}/pause", responses=documented(404, 409, 413, 415, 429))
async def pause(
    job_id: JobId, caller: Changing, use: Use, request: Annotated[ControlRequest | None, Body()] = None
) -> SteerAnswer:
    """Pause a job. No calls are started until it is resumed; those in progress are finished, delivered and charged."""
    return await steer(use, caller, job_id, lambda client: client.pause(job_id, request.reason if request else None))


@router.post("/{job_id}/resume", responses=documented(404, 409, 413, 415, 429))
async def resume(job_id: JobId, caller: Changing, use: Use) -> SteerAnswer:
    """Resume a job. This also ends a pause caused by a used-up quota."""
    return await steer(use, caller, job_id, lambda client: client.resume(job_id))


@router.post("/{job_id}/restart", responses=documented(404, 409, 413, 415, 429))
async def restart(job_id: JobId, caller: Changing, use: Use) -> SteerAnswer:
    """Restart a cancelled, failed or incomplete job. Only missing pictures are made and charged."""
    return await restarted(use, caller, job_id)


def _steered(use: Services, result: ControlResult | SteerAnswer) -> SteerAnswer:
    """A result with the status in the words of the job's row beside ours, as existing front ends read it."""
    cancelled = result.status is JobStatus.CANCELLED
    word = use.parts.settings.cancelled_status if cancelled else result.status.value
    return SteerAnswer(**(result.model_dump() | {"current_status": word, "job_status": word}))


async def restarted(use: Services, caller: Caller, job_id: UUID) -> SteerAnswer:
    """Restart a job that the caller may see; the response is that of the new run, if it opens in time."""
    ended_at = (await use.job(job_id, caller)).completed_at
    async with use.quotas.placing_of(caller):
        await use.quotas.admit_job(caller)
    answer = await steer(use, caller, job_id, lambda client: client.restart(job_id))
    await until_opened_again(use, job_id, ended_at, OPENING_PATIENCE)
    now = await use.job(job_id, caller)
    return _steered(use, answer.model_copy(update={"status": now.status, "completed_images": now.completed_images}))


async def _cancel(use: Services, caller: Caller, job_id: UUID, reason: str | None) -> SteerAnswer:
    return await steer(use, caller, job_id, lambda client: client.cancel(job_id, reason))


async def steer(
    use: Services, caller: Caller, job_id: UUID, ask: Callable[[Client], Awaitable[ControlResult]]
) -> SteerAnswer:
    """Pass a request on to a job that the caller may see."""
    await use.job(job_id, caller)
    return read_by(_steered(use, await ask(await use.client())), operator=caller.operator)
