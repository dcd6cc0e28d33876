"""What goes over the wire, made from what Darkroom knows."""

from typing import TypeVar

from pydantic import BaseModel

from darkroom.api.public_urls import PublicUrls
from darkroom.api.shapes import Action, Credits, ImageView, JobUrls, JobView, ListedJob, Preview
from darkroom.domain.customers_words import for_customers
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.restarting import why_no_restart
from darkroom.domain.snapshots import JobSnapshot, JobSummary, Picture

M = TypeVar("M", bound=BaseModel)


def read_by(value: M, *, operator: bool) -> M:
    """A value as an operator or a customer reads it: in words that tell them what they can do.

    Temporal's page is for operators: it shows the jobs of all users.
    """
    if operator:
        return value
    told = for_customers(value)
    if isinstance(told, JobView) and told.urls.temporal is not None:
        return told.model_copy(update={"urls": told.urls.model_copy(update={"temporal": None})})
    return told


def actions_of(progress: Progress, *, deleted: bool = False) -> tuple[Action, ...]:
    """What can be done with the job now."""
    if deleted:
        return ()
    if progress.status.ended:
        return (Action.RESTART,) if why_no_restart(progress) is None else ()
    if progress.cancel_requested:
        return ()
    if progress.status is JobStatus.PENDING:
        return (Action.CANCEL,)
    return (Action.RESUME if progress.paused else Action.PAUSE, Action.CANCEL)


def job_view(
    progress: Progress, snapshot: JobSnapshot, source: str, urls: JobUrls, per_minute: float | None = None
) -> JobView:
    """A job for clients, from its progress and a reading of the records."""
    return JobView(
        **progress.model_dump(),
        name=snapshot.name,
        source=source,
        created_at=snapshot.created_at,
        completed_at=snapshot.completed_at,
        deleted_at=snapshot.deleted_at,
        per_minute=per_minute,
        credits=Credits(price=snapshot.unit_price, spent=snapshot.spent, held=snapshot.held, paid_by=snapshot.paid_by),
        actions=actions_of(progress, deleted=snapshot.deleted_at is not None),
        urls=urls,
    )


def image_view(picture: Picture, number: int, position: int | None, price: int, urls: PublicUrls) -> ImageView:
    """A picture for clients."""
    return ImageView(
        number=number,
        position=position,
        url=urls.file(picture.attach_id),
        thumbnail_url=urls.thumbnail(picture.attach_id),
        credits=price if picture.price is None else picture.price,
        **picture.model_dump(exclude={"path", "price"}),
    )


def listed(job: JobSummary, urls: PublicUrls) -> ListedJob:
    """A job for a list."""
    return ListedJob(
        **job.model_dump(exclude={"first_attach_ids", "title"}),
        title=job.name or job.title,
        previews=tuple(
            Preview(attach_id=attach_id, thumbnail_url=urls.thumbnail(attach_id)) for attach_id in job.first_attach_ids
        ),
        urls=urls.listed(job.job_id),
    )
