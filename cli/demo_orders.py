"""What the demo orders: three stages after photographs, or a picture book."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from cli.contact_sheet import Frame
from darkroom.bootstrap import Parts
from darkroom.domain.receipts import Receipt
from darkroom.domain.storybook import Book
from darkroom.exports.choosing import Export
from darkroom.providers.photographs import reference_photographs

STAGES = (
    ("A lemon on the sill of a tower, misty hills behind it, first light", "16:9"),
    ("A blue vase on a terrace by the sea, late evening", "16:9"),
    ("A red kettle at a camp by a mountain lake, night", "16:9"),
)
PICTURES_A_STAGE = 16

TITLE = "The lamp that went for a walk"
PAGES: tuple[tuple[str, ...], ...] = (
    ("On the hill above the sea stood a lamp.", "Every night it shone, and every night it asked: for whom?"),
    ("“Nobody comes,” said the lamp. “So I will go.”", "It put out one foot, then the other."),
    ("Down by the reeds it met a frog.", "“You are bright,” said the frog. “Are you the moon?”"),
    ("“No,” said the lamp, “I am looking for somebody who needs me.”", "“Try the mountains,” said the frog."),
    ("In the mountains it snowed. A goat had lost her way.", "The lamp walked ahead of her until they saw her stable."),
    ("“Stay with us,” said the goat. But far out a bell was ringing.", "“Somebody is at sea,” said the lamp, and ran."),
    ("The waves were as high as houses. In the middle of them was a boat.", "The lamp shone as it had never shone."),
    ("In the morning the boat lay in the harbor.", "And the lamp stood on its hill again, and asked no more."),
)


class DemoOrder(StrEnum):
    """The orders that the demo can make."""

    STAGES = "stages"
    STORYBOOK = "storybook"


@dataclass(frozen=True)
class Demo:
    """An order, and how its pictures are shown on the sheet."""

    document: dict[str, Any]
    what: str
    captions: Mapping[int, str]
    """By stage: the pages of a book share one strip."""
    labels: Mapping[int, str]

    def frames(self, receipt: Receipt, images: list[tuple[int, int, Path]]) -> list[Frame]:
        """A frame for every picture ordered: those that came, then those that are missing."""
        frames = [self._frame(stage, ordinal, picture=path) for stage, ordinal, path in images]
        for short in receipt.missing:
            above = max((ordinal for stage, ordinal, _ in images if stage == short.stage_index), default=-1)
            frames += [
                self._frame(short.stage_index, above + 1 + number, reason=short.reason)
                for number in range(short.missing)
            ]
        return frames

    def _frame(self, stage: int, ordinal: int, picture: Path | None = None, reason: str = "missing") -> Frame:
        if self.captions:
            return Frame(0, stage, "", picture, reason, self.captions[stage])
        return Frame(stage, ordinal, self.labels[stage], picture, reason)


async def prepare(parts: Parts, order: DemoOrder) -> Demo:
    """The order, with what it needs stored first."""
    return await (_storybook(parts) if order is DemoOrder.STORYBOOK else _stages(parts))


async def _stages(parts: Parts) -> Demo:
    stages = []
    for index, ((prompt, ratio), photograph) in enumerate(zip(STAGES, reference_photographs(len(STAGES)), strict=True)):
        upload = await parts.uploads.read(f"photograph-{index}.jpg", photograph)
        attach_id = await parts.uploads.store(upload, parts.settings.local_user)
        stages.append(
            {
                "stage_index": index,
                "prompt": prompt,
                "quantity": PICTURES_A_STAGE,
                "aspect-ratio": ratio,
                "individualImageAttachIds": [{"attachId": attach_id, "type": "subject"}],
            }
        )
    labels = {index: f"{prompt} · {ratio}" for index, (prompt, ratio) in enumerate(STAGES)}
    # On Supabase it is nobody's, and free: a demo spends no member's credits.
    return Demo({"stages": stages}, f"{len(STAGES)} stages", {}, labels)


async def _storybook(parts: Parts) -> Demo:
    book = Book(book_id=uuid4(), user_id=parts.settings.local_user, base_path="")
    book = book.model_copy(update={"base_path": f"books/{book.book_id}"})
    await parts.records.ensure_book(book)
    document = {
        "job_type": "storybook",
        "book_id": str(book.book_id),
        "style": "watercolor",
        "pages": [{"dialogues": list(lines)} for lines in PAGES],
    }
    captions = {index: " ".join(lines) for index, lines in enumerate(PAGES)}
    return Demo(document, f"“{TITLE}”", captions, {})


def pictures(export: Export, folder: Path) -> list[tuple[int, int, Path]]:
    """Stage, ordinal and file of what was delivered and exported."""
    return [(one.picture.stage_index, one.picture.ordinal, folder / one.name) for one in export.pictures]
