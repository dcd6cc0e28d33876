"""The oldest documents: one prompt, one quantity, one merged image, of whatever type their rows are."""

from darkroom.domain.errors import OrderRejected
from darkroom.domain.jobs import Document
from darkroom.domain.orders import JobType, Order, Reference, Stage
from darkroom.domain.stage_labels import number_of_stage
from darkroom.orders.document import AttachId, AttachRef, Envelope, Reader, WholeNumber, with_negative

_OF_NEWER_ONES = (
    "stages", "uploaded_attach_ids", "merged_images", "pages", "base_prompt", "combinations", "rows", "variables"
)  # fmt: skip


class OldestDocument(Envelope):
    """The whole document."""

    prompt: str
    quantity: WholeNumber | None = None
    merged_image_attach_id: AttachId | None = None
    individual_image_attach_ids: tuple[AttachRef, ...] = ()


def is_oldest(content: Document, job_type: JobType | None) -> bool:
    """Whether a document is one of these; a `template` may have a prompt alone, but never a merged image."""
    if "prompt" not in content or any(key in content for key in _OF_NEWER_ONES):
        return False
    return job_type is not JobType.TEMPLATE or "merged_image_attach_id" in content


def parse(reader: Reader, content: Document, job_type: JobType | None) -> Order:
    """One stage, with the prompt as it is.

    Raises:
        OrderRejected: neither the document nor its row says how many pictures, or a field is wrong.
    """
    document = reader.read(OldestDocument, content)
    quantity = document.quantity if document.quantity is not None else reader.total_images
    if quantity is None:
        raise OrderRejected("quantity", "is missing; say how many pictures to make")
    references = [ref.reference() for ref in document.individual_image_attach_ids]
    if document.merged_image_attach_id is not None:
        references.insert(0, Reference(attach_id=document.merged_image_attach_id, type="merged"))
    stage = Stage(
        stage_index=0,
        label=number_of_stage(0),
        prompt=with_negative(document.prompt, document.negative_prompt),
        quantity=quantity,
        aspect_ratio=document.aspect_ratio,
        references=tuple(references),
        image_size=document.size_of(document),
        format=document.format,
    )
    return document.order(job_type or JobType.PIPELINE_STAGE, [stage])
