"""`pipeline_stage`: one stage per entry of `stages`."""

from typing import Annotated

from pydantic import Field

from darkroom.domain.jobs import Document
from darkroom.domain.orders import JobType, Order, Reference, Stage
from darkroom.domain.stage_labels import number_of_stage
from darkroom.orders.document import AttachId, AttachRef, Envelope, Look, Reader, WholeNumber, with_negative


class StagePart(Look):
    """One entry of `stages`; the fields of existing front ends."""

    stage_index: Annotated[WholeNumber, Field(ge=0)] | None = None
    prompt: str
    quantity: WholeNumber
    aspect_ratio: str | None = None
    negative_prompt: str | None = None
    merged_image_attach_id: AttachId | None = None
    individual_image_attach_ids: tuple[AttachRef, ...] | None = None


class PipelineDocument(Envelope):
    """The whole document."""

    stages: tuple[StagePart, ...]


def parse(reader: Reader, content: Document) -> Order:
    """The stages of the document, a missing index being the position; the merged image comes first."""
    document = reader.read(PipelineDocument, content)
    stages = []
    for position, part in enumerate(document.stages):
        index = position if part.stage_index is None else part.stage_index
        references = (
            []
            if part.merged_image_attach_id is None
            else [Reference(attach_id=part.merged_image_attach_id, type="merged")]
        )
        references += [ref.reference() for ref in part.individual_image_attach_ids or ()]
        stages.append(
            Stage(
                stage_index=index,
                label=number_of_stage(index),
                prompt=with_negative(part.prompt, part.negative_prompt or document.negative_prompt),
                quantity=part.quantity,
                aspect_ratio=part.aspect_ratio or document.aspect_ratio,
                references=tuple(references),
                image_size=document.size_of(part),
                format=document.format_of(part),
            )
        )
    return document.order(JobType.PIPELINE_STAGE, stages)
