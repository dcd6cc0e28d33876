"""What goes over the wire, made from what Darkroom knows."""

from uuid import UUID

from darkroom.api.shapes import Action, Credits, ImageView, JobUrls, JobView, ListedJob, Preview, SummaryUrls
from darkroom.api.signed_urls import Addresses
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.snapshots import JobSnapshot, JobSummary, Picture


def urls_of(job_id: UUID, temporal_ui: str | None = None) -> JobUrls:
    """Where a job's things are, from its id."""
    base = f"/api/jobs/{job_id}"
    return JobUrls(
        self=base,
        order=f"{base}/order",
        events=f"{base}/events",
        images=f"{base}/images",
        receipt=f"{base}/receipt",
        archive=f"{base}/archive.zip",
        cancel=f"{base}/cancel",
        pause=f"{base}/pause",
        resume=f"{base}/resume",
        restart=f"{base}/restart",
        page=f"/jobs/{job_id}",
        temporal=temporal_ui,
    )


def actions_of(progress: Progress) -> tuple[Action, ...]:
    """What can be done with the job now."""
    if progress.status.ended:
        whole = progress.status is JobStatus.COMPLETED and progress.failed_images == 0
        return () if whole else (Action.RESTART,)
    if progress.cancel_requested:
        return ()
    if progress.status is JobStatus.PENDING:
        return (Action.CANCEL,)
    return (Action.RESUME if progress.paused else Action.PAUSE, Action.CANCEL)


def job_view(
    progress: Progress, snapshot: JobSnapshot, source: str, temporal_ui: str | None, per_minute: float | None = None
) -> JobView:
    """A job for clients, from its progress and a look at the records."""
    return JobView(
        **progress.model_dump(),
        source=source,
        created_at=snapshot.created_at,
        completed_at=snapshot.completed_at,
        per_minute=per_minute,
        credits=Credits(price=snapshot.unit_price, spent=snapshot.spent, held=snapshot.held),
        actions=actions_of(progress),
        urls=urls_of(progress.job_id, temporal_ui),
    )


def image_view(picture: Picture, number: int, position: int | None, price: int, addresses: Addresses) -> ImageView:
    """A picture for clients."""
    return ImageView(
        number=number,
        position=position,
        url=addresses.file(picture.attach_id),
        thumbnail_url=addresses.thumbnail(picture.attach_id),
        credits=price,
        **picture.model_dump(exclude={"path"}),
    )


def listed(job: JobSummary, addresses: Addresses) -> ListedJob:
    """A job for a list."""
    return ListedJob(
        **job.model_dump(exclude={"first_attach_ids"}),
        previews=tuple(
            Preview(attach_id=attach_id, thumbnail_url=addresses.thumbnail(attach_id))
            for attach_id in job.first_attach_ids
        ),
        urls=SummaryUrls(self=f"/api/jobs/{job.job_id}", page=f"/jobs/{job.job_id}"),
    )
