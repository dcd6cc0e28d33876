"""A job's stages as the page shows them: a strip each, a frame for every ordered picture."""

from enum import StrEnum

from darkroom.api.job_feed import JobFeed
from darkroom.api.public_urls import PublicUrls
from darkroom.api.shapes import ImageView, OrderedDocument, Preview, StageView
from darkroom.domain.model import Value
from darkroom.domain.rounds import StageStatus
from darkroom.domain.snapshots import MOST_FRAMES

MOST_SHOWN = 200
"""Frames of a strip that are all shown; above it the newest ones."""
NEWEST = 60


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


class Strip(Value):
    """One stage."""

    stage: StageView
    prompt: str
    aspect_ratio: str
    references: tuple[Preview, ...]
    frames: tuple[FrameView, ...]
    hidden: int
    """Frames left out."""


def strips_of(feed: JobFeed, ordered: OrderedDocument, urls: PublicUrls) -> list[Strip]:
    """The strips of a job, as its feed knows it."""
    documents = {stage["stage_index"]: stage for stage in ordered.document["stages"]}
    pictures: dict[int, list[ImageView]] = {}
    for image in feed.images(0, feed.known, urls):
        pictures.setdefault(image.stage_index, []).append(image)
    return [
        _strip(stage, documents.get(stage.stage_index, {}), pictures.get(stage.stage_index, []), ordered, feed.ended)
        for stage in feed.stages() or _ordered_only(ordered)
    ]


def _ordered_only(ordered: OrderedDocument) -> list[StageView]:
    """The stages of a job that no run has opened: every ordered picture has its frame all the same."""
    return [
        StageView(
            stage_index=stage["stage_index"],
            label=f"stage {stage['stage_index']}",
            quantity=stage["quantity"],
            frames=() if stage["quantity"] <= MOST_FRAMES else None,
        )
        for stage in ordered.document["stages"]
    ]


def _strip(
    stage: StageView, document: dict[str, object], images: list[ImageView], ordered: OrderedDocument, ended: bool
) -> Strip:
    references = document.get("individual_image_attach_ids")
    ids = [ref["attach_id"] for ref in references] if isinstance(references, list) else []
    all_frames = stage.quantity <= MOST_SHOWN and stage.frames is not None
    frames = _all_frames(stage, images, ended) if all_frames else _newest(images)
    return Strip(
        stage=stage,
        prompt=str(document.get("prompt", "")),
        aspect_ratio=str(document.get("aspect_ratio", "16:9")),
        references=tuple(
            Preview(attach_id=i, thumbnail_url=ordered.references[i].thumbnail_url)
            for i in ids
            if i in ordered.references
        ),
        frames=frames,
        hidden=stage.quantity - len(frames),
    )


def _all_frames(stage: StageView, images: list[ImageView], ended: bool) -> tuple[FrameView, ...]:
    over = ended or stage.status in (StageStatus.SHORT, StageStatus.CANCELLED)
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


def _newest(images: list[ImageView]) -> tuple[FrameView, ...]:
    first = max(0, len(images) - NEWEST)
    return tuple(_delivered(image, first + index) for index, image in enumerate(images[first:]))


def _delivered(image: ImageView, position: int) -> FrameView:
    return FrameView(position=position, ordinal=image.ordinal, state=Shown.DELIVERED, round=image.round, image=image)
