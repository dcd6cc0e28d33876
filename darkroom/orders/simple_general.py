"""`simple_general`: one stage from one prompt and one or more uploaded images."""

from darkroom.domain.errors import OrderRejected
from darkroom.domain.jobs import Document
from darkroom.domain.orders import JobType, Order, Stage
from darkroom.domain.stage_labels import number_of_stage
from darkroom.orders.document import AttachRef, Envelope, Reader, WholeNumber, with_negative


class GeneralDocument(Envelope):
    """The whole document."""

    prompt: str
    quantity: WholeNumber
    uploaded_attach_ids: tuple[AttachRef, ...] = ()


def parse(reader: Reader, content: Document) -> Order:
    """One stage with all the uploaded images.

    Raises:
        OrderRejected: no image was uploaded, or a field is wrong.
    """
    document = reader.read(GeneralDocument, content)
    if not document.uploaded_attach_ids:
        raise OrderRejected("uploaded_attach_ids", "is empty; this job_type needs at least one image")
    stage = Stage(
        stage_index=0,
        label=number_of_stage(0),
        prompt=with_negative(document.prompt, document.negative_prompt),
        quantity=document.quantity,
        aspect_ratio=document.aspect_ratio,
        references=tuple(ref.reference() for ref in document.uploaded_attach_ids),
        image_size=document.size_of(document),
        format=document.format,
    )
    return document.order(JobType.SIMPLE_GENERAL, [stage])
