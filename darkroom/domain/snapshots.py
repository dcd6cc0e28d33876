"""A job for those who watch pictures arrive: what is delivered, in order of delivery, and what is in progress."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from darkroom.domain.job_names import KeptName
from darkroom.domain.model import Value
from darkroom.domain.progress import JobStatus, Progress
from darkroom.domain.wallets import PaidBy

MOST_FRAMES = 500
"""Stages above this size are shown without a frame for each picture that is not delivered."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Picture(Value):
    """One delivered picture, and how it was made."""

    attach_id: int
    stage_index: int
    ordinal: int
    path: str
    size: int
    """Bytes of the file."""
    sha256: str | None
    delivered_at: datetime
    round: int = 0
    provider: str | None = None
    model: str | None = None
    seconds: float | None = None
    """How long the provider took."""
    price: int | None = None
    """Credits, where they are not those of the job."""


class DeliveryMark(Value):
    """A place in the order in which a job's pictures were delivered; what is delivered later stands behind it.

    Settlements of one job take turns, so their times follow one another.
    """

    delivered_at: datetime
    attach_id: int


class FrameState(StrEnum):
    """The state of a picture that is not delivered."""

    MAKING = "making"
    """A call is in progress, or its picture is being stored."""
    MISSED = "missed"
    REFUSED = "refused"


class Undelivered(Value):
    """The latest state of an ordinal that was tried and is not delivered."""

    stage_index: int
    ordinal: int
    state: FrameState
    round: int
    reason: str | None = None
    lost_at: datetime | None = None
    """When it was missed or refused; None while it is being made."""


class JobSnapshot(Value):
    """One consistent reading of a job."""

    user_id: UUID | None
    name: KeptName = None
    progress: Progress
    """As the records know it; without ids."""
    created_at: datetime
    completed_at: datetime | None
    deleted_at: datetime | None = None
    """When it was deleted; of its pictures none is shown then."""
    unit_price: int | None
    """Credits an image, but for those that have a price of their own; None before the job first opened."""
    spent: int
    """Credits charged so far, by all runs."""
    held: int
    """Credits still set aside."""
    paid_by: PaidBy | None = None
    """The organization that pays; None where the user does, or nobody."""
    pictures: tuple[Picture, ...]
    """Those delivered behind the mark, in the order they came; a page of them."""
    undelivered: tuple[Undelivered, ...]
    """By stage and ordinal; only of stages of at most `MOST_FRAMES` pictures."""


class JobSummary(Value):
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
    name: KeptName = None
    title: str | None
    """The beginning of its first prompt, at most 200 characters; None before it first opened."""
    first_attach_ids: tuple[int, ...] = ()
    """At most 6 of its pictures, the first ones by stage and ordinal."""
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class JobCursor(Value):
    """A place in the list of jobs, newest first; what is older stands behind it."""

    created_at: datetime
    job_id: UUID


class Frame(Value):
    """What one frame of a stage shows; frames that show nothing yet are left out."""

    position: int
    """From 0 to the stage's quantity less 1."""
    ordinal: int
    state: FrameState
    round: int
    reason: str | None = None
    attempt: int | None = None
    """Of a picture whose call is retried: of its newest call, from 1. `reason` is that of its newest fault."""


class Placement(Value):
    """Which frame each tried ordinal of a stage belongs to."""

    positions: Mapping[int, int]
    """Position by ordinal; those without a frame are left out."""
    frames: tuple[Frame, ...]
    """The frames whose last ordinal is not delivered, by position."""


def place(quantity: int, delivered: Iterable[int], undelivered: Iterable[Undelivered]) -> Placement:
    """Give every tried ordinal of a stage its frame.

    Ordinal n begins in frame n. One above the quantity is begun only to make up for one that is lost (missed or
    refused), and never before that one is: the first takes over the frame of what was lost first, the second that of
    what was lost next, whichever of them comes earlier. So nothing that happens later moves a picture.
    """
    states: dict[int, Undelivered | None] = dict.fromkeys(delivered)
    states.update((one.ordinal, one) for one in undelivered if one.ordinal not in states)
    losses = sorted(
        (one for one in states.values() if one is not None and one.state is not FrameState.MAKING),
        key=lambda one: (one.lost_at or _LONG_AGO, one.ordinal),
    )
    made_up_for = {quantity + number: one.ordinal for number, one in enumerate(losses)}
    positions: dict[int, int] = {}
    showing: dict[int, int] = {}
    for ordinal in sorted(states):
        position = ordinal if ordinal < quantity else positions.get(made_up_for.get(ordinal, -1))
        if position is not None:
            positions[ordinal] = position
            showing[position] = ordinal
    for ordinal in sorted(ordinal for ordinal, last in states.items() if last is None and ordinal not in positions):
        # What it made up for is not known any more; a picture is shown all the same, where none is shown yet.
        taken = {position for position, shown in showing.items() if states[shown] is None}
        rest = [position for position in range(quantity) if position not in taken]
        if rest:
            positions[ordinal] = min(rest, key=lambda position: (position in showing, position))
            showing[positions[ordinal]] = ordinal
    frames = [
        Frame(position=position, ordinal=ordinal, state=last.state, round=last.round, reason=last.reason)
        for position, ordinal in sorted(showing.items())
        if (last := states[ordinal]) is not None
    ]
    return Placement(positions=positions, frames=tuple(frames))
