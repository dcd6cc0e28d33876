"""`single_batch`: one stage per entry of `combinations`, an angle and a shot of one base prompt."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from darkroom.domain.clean_text import CleanLine
from darkroom.domain.formats import ImageFormat, ImageSize
from darkroom.domain.jobs import Document
from darkroom.domain.model import Value
from darkroom.domain.orders import JobType, Order, Reference, Stage
from darkroom.domain.visible import is_visible
from darkroom.orders.document import AttachId, AttachRef, Envelope, Look, Part, Reader, WholeNumber, with_negative
from darkroom.orders.single_batch_prompts import batch_prompt, is_tight

_BELOW_A_TIGHT_SHOT = frozenset(("pants", "shoes"))

_Word = Annotated[CleanLine, Field(max_length=200)]


class View(Part):
    """How the subject is seen; by the names of combinations, and by those that front ends give whole documents."""

    angle: _Word | None = None
    camera_angle: _Word | None = None
    shot: _Word | None = None
    shot_type: _Word | None = None
    quantity: WholeNumber | None = None


class CombinationPart(View, Look):
    """One entry of `combinations`."""

    negative_prompt: str | None = None


class BatchDocument(Envelope, View):
    """The whole document."""

    base_prompt: str
    combinations: tuple[CombinationPart, ...] = ()
    merged_image_attach_id: AttachId | None = None
    individual_image_attach_ids: tuple[AttachRef, ...] = ()


class Combination(Value):
    """One stage: angle, shot and number of pictures."""

    angle: str
    shot: str
    quantity: int
    negative_prompt: str | None = None
    image_size: ImageSize = ImageSize.K1
    format: ImageFormat | None = None


def parse(reader: Reader, content: Document) -> Order:
    """A stage per combination; without any, one of the document's own angle and shot."""
    document = reader.read(BatchDocument, content)
    references = document.individual_image_attach_ids
    pictures = [ref.reference() for ref in references]
    if document.merged_image_attach_id is not None:
        pictures.insert(0, Reference(attach_id=document.merged_image_attach_id, type="merged"))
    stages = [
        Stage(
            stage_index=index,
            label=f"{one.angle}, {one.shot}",
            prompt=_prompt(document.base_prompt, one),
            quantity=one.quantity,
            aspect_ratio=document.aspect_ratio,
            references=_shown(pictures, one.shot),
            image_size=one.image_size,
            format=one.format,
        )
        for index, one in enumerate(_combinations(document, reader.total_images))
    ]
    return document.order(JobType.SINGLE_BATCH, stages)


def explicit(reader: Reader, content: Document) -> dict[str, Any]:
    """The document with its combinations written out.

    Raises:
        OrderRejected: it cannot be read.
    """
    document = reader.read(BatchDocument, content)
    kept = {key: value for key, value in content.items() if key not in View.model_fields}
    found = _combinations(document, reader.total_images)
    return {**kept, "combinations": [one.model_dump(mode="json", exclude_none=True) for one in found]}


def _combinations(document: BatchDocument, total_images: int | None) -> list[Combination]:
    if not document.combinations:
        return [_combination(document, document, document.quantity or total_images or 1)]
    return [_combination(part, document, document.quantity or 1) for part in document.combinations]


def _combination(part: BatchDocument | CombinationPart, document: BatchDocument, quantity: int) -> Combination:
    return Combination(
        angle=part.angle or part.camera_angle or document.angle or document.camera_angle or "front",
        shot=part.shot or part.shot_type or document.shot or document.shot_type or "full",
        quantity=quantity if part.quantity is None else part.quantity,
        negative_prompt=part.negative_prompt or document.negative_prompt,
        image_size=document.size_of(part),
        format=document.format_of(part),
    )


def _prompt(base: str, one: Combination) -> str:
    # The angle alone is no prompt: a base prompt that says nothing is rejected.
    return with_negative(batch_prompt(one.angle, one.shot, base), one.negative_prompt) if is_visible(base) else base


def _shown(references: Sequence[Reference], shot: str) -> tuple[Reference, ...]:
    """The references that a shot shows; all of them where none would be left."""
    above = [ref for ref in references if (ref.type or "").strip().lower() not in _BELOW_A_TIGHT_SHOT]
    return tuple(above if is_tight(shot) and above else references)
