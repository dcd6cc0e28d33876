"""What goes over the wire: jobs, pictures and answers as clients read them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from darkroom.api.sign_in import SignedInBy
from darkroom.domain.formats import ImageFormat, ImageSize
from darkroom.domain.model import Value
from darkroom.domain.progress import JobStatus, Progress, StageProgress
from darkroom.domain.snapshots import Frame
from darkroom.domain.wallets import PaidBy


class Action(StrEnum):
    """An action that is possible in a job's current state."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RESTART = "restart"


class JobUrls(Value):
    """The URLs of a job."""

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
    deletion: str
    page: str
    temporal: str | None = None
    """Its page in the Temporal Web UI, where one is known."""


class Credits(Value):
    """A job's price and credits."""

    price: int | None
    """Credits per image; None before the job is first opened."""
    spent: int
    held: int
    paid_by: PaidBy | None = None
    """The organization that pays; None where the user does, and before the job is first opened."""


class JobView(Progress):
    """A job and its progress."""

    name: str | None = Field(default=None, description="What its user calls it.")
    source: str = Field(
        description="`workflow`, or `records` when the job is pending or has ended, or no worker responds."
    )
    created_at: datetime
    completed_at: datetime | None
    deleted_at: datetime | None = Field(default=None, description="When it was deleted; its numbers stay.")
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
    """From 1, in order of delivery."""
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
    """A picture's thumbnail."""

    attach_id: int
    thumbnail_url: str


class SummaryUrls(Value):
    """The URLs of a job in a list."""

    self: str
    page: str


class ListedJob(Value):
    """A job in a list."""

    job_id: UUID
    job_type: str | None
    status: JobStatus
    paused: bool
    cancel_requested: bool
    total_images: int
    completed_images: int
    failed_images: int
    error_message: str | None
    name: str | None = None
    title: str | None
    """Its name, else the beginning of its first prompt; None before it first opened."""
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
    """The job that an order created, or the existing one with the same idempotency key."""

    job_id: UUID
    status: JobStatus
    found: bool
    """Whether the job existed already."""
    total_images: int
    completed_images: int
    warnings: tuple[str, ...] = ()
    urls: JobUrls


class QuotedStage(Value):
    """One stage as it will be ordered, and its cost."""

    stage_index: int
    label: str
    prompt: str = Field(description="As the provider gets it; above 500 characters, its beginning.")
    quantity: int
    aspect_ratio: str
    image_size: ImageSize
    price: int = Field(description="Credits of one of its pictures.")
    format: ImageFormat
    references: tuple[int, ...] = Field(description="The ids of its reference pictures, in order.")
    credits: int


class Quote(Value):
    """The cost of an order."""

    images: int
    price: int = Field(description="Credits of a picture of the smallest size; each stage has its own.")
    credits: int
    """The most that can be charged: the full price, or `max_credits` if that is less."""
    available: int
    """Credits of whoever pays."""
    paid_by: PaidBy | None = None
    """The organization that pays; None where you do."""
    enough: bool
    stages: tuple[QuotedStage, ...]
    warnings: tuple[str, ...] = ()


class TableView(Value):
    """A table as rows of an order document."""

    columns: tuple[str, ...] = Field(description="The names of the columns, as the first row spells them.")
    names: tuple[str, ...] = Field(description="The names of the same columns in an order document.")
    rows: tuple[dict[str, str], ...] = Field(description="For `rows` of an order document of type `template`.")
    numbers: tuple[int, ...] = Field(description="The number of each row in the table; the names are in row 1.")


class SteerAnswer(Value):
    """The result of a request to control a job: `success` means accepted."""

    success: bool
    message: str
    job_id: UUID
    status: JobStatus
    current_status: str = Field(description="The status in the words of the job's row (`CANCELLED_STATUS`).")
    job_status: str = Field(description="The same as `current_status`.")
    completed_images: int
    total_images: int


class ReferenceThumbnail(Value):
    """A reference's thumbnail, and the name of the file that was uploaded."""

    thumbnail_url: str
    name: str | None = None


class OrderedDocument(Value):
    """The order of a job, as a document that can be ordered again."""

    document: dict[str, Any]
    references: dict[int, ReferenceThumbnail]


class AttachmentView(Value):
    """An attachment: an uploaded reference or a delivered picture."""

    attach_id: int
    name: str | None = None
    media_type: str
    width: int | None = None
    height: int | None = None
    size: int | None = None
    url: str
    thumbnail_url: str


class ProviderView(Value):
    """A provider and its capabilities."""

    name: str
    aspect_ratios: tuple[str, ...]
    max_references: int
    image_sizes: tuple[ImageSize, ...]
    default: bool


class LimitsView(Value):
    """The limits of an order."""

    stages: int
    images_per_stage: int
    images_per_job: int
    prompt_characters: int


class OrganizationView(Value):
    """An organization that the caller is an active member of: order with its `org_id` to let it pay."""

    org_id: UUID
    name: str
    status: str
    """Only an `active` organization pays."""
    balance: int
    held: int
    available: int


class AccountView(Value):
    """The caller's account."""

    user_id: UUID
    operator: bool
    signed_in_by: SignedInBy
    balance: int
    held: int
    available: int
    organizations: tuple[OrganizationView, ...]
    price: int = Field(description="Credits of a picture of the smallest size.")
    prices: dict[ImageSize, int] = Field(description="Credits of a picture, by its size.")
    image_format: ImageFormat = Field(description="Of delivered files, unless an order names another one.")
    providers: tuple[ProviderView, ...]
    limits: LimitsView
