"""What goes over the wire: jobs, pictures and answers as clients read them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from darkroom.api.sign_in import SignedInBy
from darkroom.domain.model import Value
from darkroom.domain.progress import JobStatus, Progress, StageProgress
from darkroom.domain.snapshots import Frame


class Action(StrEnum):
    """What can be done with a job as it stands."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RESTART = "restart"


class JobUrls(Value):
    """Where a job's things are."""

    self: str
    order: str
    events: str
    images: str
    receipt: str
    archive: str
    cancel: str
    pause: str
    resume: str
    restart: str
    page: str
    temporal: str | None = None
    """Its page in the Temporal Web UI, where one is known."""


class Credits(Value):
    """A job's money, in credits."""

    price: int | None
    """Of an image; None before the job first opened."""
    spent: int
    held: int


class JobView(Progress):
    """A job as it stands: the `progress` query, and what a page needs beside it."""

    source: str = Field(description="`workflow`, or `records` when no worker answers")
    created_at: datetime
    completed_at: datetime | None
    per_minute: float | None = Field(default=None, description="Pictures delivered in the last minute.")
    credits: Credits
    actions: tuple[Action, ...]
    urls: JobUrls


class StageView(StageProgress):
    """A stage, and what its frames show beside delivered pictures."""

    frames: tuple[Frame, ...] | None
    """None for stages above 500 pictures."""


class ImageView(Value):
    """One delivered picture."""

    number: int
    """From 1, in the order they came."""
    stage_index: int
    ordinal: int
    position: int | None
    """Its frame in the stage; None for stages above 500 pictures."""
    attach_id: int
    url: str
    thumbnail_url: str
    size: int
    sha256: str | None
    delivered_at: datetime
    round: int
    provider: str | None
    model: str | None
    seconds: float | None
    credits: int


class ImagePage(Value):
    """A page of a job's pictures."""

    images: tuple[ImageView, ...]
    next_cursor: str | None = None


class Preview(Value):
    """A small picture in a list."""

    attach_id: int
    thumbnail_url: str


class SummaryUrls(Value):
    """Where a listed job is."""

    self: str
    page: str


class ListedJob(Value):
    """A line in a list of jobs."""

    job_id: UUID
    job_type: str | None
    status: JobStatus
    paused: bool
    cancel_requested: bool
    total_images: int
    completed_images: int
    failed_images: int
    error_message: str | None
    title: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    previews: tuple[Preview, ...]
    urls: SummaryUrls


class JobPage(Value):
    """A page of a list of jobs."""

    jobs: tuple[ListedJob, ...]
    next_cursor: str | None = None


class SubmittedView(Value):
    """An order that became a job, or found the one it became before."""

    job_id: UUID
    status: JobStatus
    found: bool
    """Whether this key had ordered it before."""
    total_images: int
    completed_images: int
    warnings: tuple[str, ...] = ()
    urls: JobUrls


class QuotedStage(Value):
    """What one stage costs."""

    stage_index: int
    quantity: int
    credits: int


class Quote(Value):
    """What an order costs; nothing was created."""

    images: int
    price: int
    credits: int
    """What can be charged at most: all of it, or `max_credits` where that is less."""
    available: int
    enough: bool
    stages: tuple[QuotedStage, ...]
    warnings: tuple[str, ...] = ()


class SteerAnswer(Value):
    """What a wish to a job did: `success` means accepted."""

    success: bool
    message: str
    job_id: UUID
    status: JobStatus
    completed_images: int
    total_images: int


class ReferenceThumbnail(Value):
    """A reference as a page shows it."""

    thumbnail_url: str


class OrderedDocument(Value):
    """The stages of a job, as a document that can be ordered again."""

    document: dict[str, Any]
    references: dict[int, ReferenceThumbnail]


class AttachmentView(Value):
    """An uploaded reference."""

    attach_id: int
    name: str | None = None
    media_type: str
    width: int | None = None
    height: int | None = None
    size: int | None = None
    url: str
    thumbnail_url: str


class ProviderView(Value):
    """Who draws, and what they can."""

    name: str
    aspect_ratios: tuple[str, ...]
    max_references: int
    default: bool


class LimitsView(Value):
    """How large an order may be."""

    stages: int
    images_per_stage: int
    images_per_job: int
    prompt_characters: int


class AccountView(Value):
    """Who asks, and what they have."""

    user_id: UUID
    operator: bool
    signed_in_by: SignedInBy
    balance: int
    held: int
    available: int
    price: int
    providers: tuple[ProviderView, ...]
    limits: LimitsView
