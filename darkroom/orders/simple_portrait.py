"""`simple_portrait`: one stage of one picture per entry of `mergedImages`, in order."""

from darkroom.domain.jobs import Document
from darkroom.domain.orders import JobType, Order, Reference, Stage
from darkroom.orders.document import AttachId, Envelope, Look, Reader, WholeNumber, with_negative


class PortraitPart(Look):
    """One merged photograph and the prompt that wraps it."""

    merged_attach_id: AttachId
    wrapping_prompt: str
    photo_index: WholeNumber | None = None
    negative_prompt: str | None = None


class PortraitDocument(Envelope):
    """The whole document."""

    merged_images: tuple[PortraitPart, ...]


def parse(reader: Reader, content: Document) -> Order:
    """One stage an entry; `photoIndex` labels it and does not change the order."""
    document = reader.read(PortraitDocument, content)
    stages = [
        Stage(
            stage_index=position,
            label=f"photo {position + 1 if part.photo_index is None else part.photo_index}",
            prompt=with_negative(part.wrapping_prompt, part.negative_prompt or document.negative_prompt),
            quantity=1,
            aspect_ratio=document.aspect_ratio,
            references=(Reference(attach_id=part.merged_attach_id, type="merged"),),
            image_size=document.size_of(part),
            format=document.format_of(part),
        )
        for position, part in enumerate(document.merged_images)
    ]
    return document.order(JobType.SIMPLE_PORTRAIT, stages)
