"""A job's stages as the page shows them: a strip each, a frame for every ordered picture."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from darkroom.api.job_feed import JobFeed
from darkroom.api.public_urls import PublicUrls
from darkroom.api.shapes import ImageView, ReferenceThumbnail, StageView
from darkroom.domain.model import Value
from darkroom.domain.orders import DEFAULT_ASPECT_RATIO, Stage
from darkroom.domain.rounds import StageStatus
from darkroom.domain.snapshots import MOST_FRAMES

MOST_SHOWN = 200
"""Frames of a strip that are all shown; above it the newest ones."""
NEWEST = 60
MOST_OPEN = 8
"""Strips of a job that are all shown in full; above it each shows its first row, until somebody unfolds it."""
FOLDED = 16
"""Frames of a folded strip: more than a row has."""
NEVER_FOLDED = 4
"""Frames of a strip that has too few to fold."""
WITH_FRAMES = 20
"""Folded strips that come with their frames; those of the others are drawn when somebody comes near."""


class Shown(StrEnum):
    """What a frame looks like."""

    WAITING = "waiting"
    MAKING = "making"
    MISSED = "missed"
    REFUSED = "refused"
    DELIVERED = "delivered"
    DROPPED = "dropped"
    """Will not be made: the job was cancelled, or ended short."""


class FrameView(Value):
    """One frame."""

    position: int
    ordinal: int | None = None
    state: Shown
    round: int = 0
    reason: str | None = None
    attempt: int | None = None
    image: ImageView | None = None


class ReferenceView(Value):
    """A picture that a stage is drawn after."""

    attach_id: int
    name: str | None
    """Of the file that was uploaded."""
    url: str
    thumbnail_url: str


class Strip(Value):
    """One stage."""

    stage: StageView
    prompt: str
    aspect_ratio: str
    references: tuple[ReferenceView, ...]
    frames: tuple[FrameView, ...]
    hidden: int
    """Frames left out."""
    unheld: int
    """Delivered pictures among them."""
    over: bool
    """Whether nothing more comes: the first frames are shown then, and the newest ones before."""
    folded: bool


def strips_of(
    feed: JobFeed, stages: Sequence[Stage], references: Mapping[int, ReferenceThumbnail], urls: PublicUrls
) -> list[Strip]:
    """The strips of a job, as its feed knows it.

    Args:
        feed: of the job.
        stages: as they were ordered.
        references: thumbnails of those that the caller may see.
        urls: of the pictures.
    """
    ordered = {stage.stage_index: stage for stage in stages}
    pictures: dict[int, list[ImageView]] = {}
    for image in feed.images(0, feed.known, urls):
        pictures.setdefault(image.stage_index, []).append(image)
    shown = {
        attach_id: ReferenceView(
            attach_id=attach_id, name=known.name, url=urls.file(attach_id), thumbnail_url=known.thumbnail_url
        )
        for attach_id, known in references.items()
    }
    views = feed.stages() or list(map(_ordered_only, stages))
    many = len(views) > MOST_OPEN
    return [
        _strip(
            stage,
            ordered.get(stage.stage_index),
            pictures.get(stage.stage_index, []),
            shown,
            ended=feed.ended,
            folded=many and stage.quantity > NEVER_FOLDED,
            far=place >= WITH_FRAMES,
        )
        for place, stage in enumerate(views)
    ]


def _ordered_only(stage: Stage) -> StageView:
    """A stage of a job that no run has opened: every ordered picture has its frame all the same."""
    return StageView(
        stage_index=stage.stage_index,
        label=stage.label,
        quantity=stage.quantity,
        frames=() if stage.quantity <= MOST_FRAMES else None,
    )


def _strip(
    stage: StageView,
    ordered: Stage | None,
    images: list[ImageView],
    references: Mapping[int, ReferenceView],
    *,
    ended: bool,
    folded: bool,
    far: bool,
) -> Strip:
    over = ended or stage.status in (StageStatus.COMPLETE, StageStatus.SHORT, StageStatus.CANCELLED)
    placed = stage.frames is not None
    whole = placed and stage.quantity <= MOST_SHOWN
    most = FOLDED if folded else None if whole else NEWEST
    if folded and far:
        frames: tuple[FrameView, ...] = ()
    elif placed and (over or whole):
        frames = _all_frames(stage, images, over)[:most]
    else:
        frames = _first(images, most) if over else _newest(images, most or NEWEST)
    ids = [ref.attach_id for ref in ordered.references] if ordered else []
    return Strip(
        stage=stage,
        prompt=ordered.prompt if ordered else "",
        aspect_ratio=ordered.aspect_ratio if ordered else DEFAULT_ASPECT_RATIO,
        references=tuple(references[attach_id] for attach_id in ids if attach_id in references),
        frames=frames,
        hidden=stage.quantity - len(frames),
        unheld=len(images) - sum(frame.image is not None for frame in frames),
        over=over,
        folded=folded,
    )


def _all_frames(stage: StageView, images: list[ImageView], over: bool) -> tuple[FrameView, ...]:
    empty = Shown.DROPPED if over else Shown.WAITING
    frames = [FrameView(position=position, state=empty) for position in range(stage.quantity)]
    for frame in stage.frames or ():
        frames[frame.position] = FrameView(
            position=frame.position,
            ordinal=frame.ordinal,
            state=Shown(frame.state.value),
            round=frame.round,
            reason=frame.reason,
            attempt=frame.attempt,
        )
    for image in images:
        if image.position is not None:
            frames[image.position] = _delivered(image, image.position)
    return tuple(frames)


def _first(images: list[ImageView], most: int | None) -> tuple[FrameView, ...]:
    ordered = sorted(images, key=lambda image: image.ordinal)[:most]
    return tuple(_delivered(image, position) for position, image in enumerate(ordered))


def _newest(images: list[ImageView], most: int) -> tuple[FrameView, ...]:
    first = max(0, len(images) - most)
    return tuple(_delivered(image, first + index) for index, image in enumerate(images[first:]))


def _delivered(image: ImageView, position: int) -> FrameView:
    return FrameView(position=position, ordinal=image.ordinal, state=Shown.DELIVERED, round=image.round, image=image)
