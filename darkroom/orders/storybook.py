"""`storybook`: one stage of one picture per page, in order; the first page is also the cover."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from darkroom.domain.errors import OrderRejected
from darkroom.domain.jobs import Document
from darkroom.domain.orders import JobType, Order, Reference, Stage
from darkroom.orders.document import AttachId, Envelope, Look, Reader, with_negative
from darkroom.orders.storybook_prompts import Style, page_prompt


class PagePart(Look):
    """One page: what is said on it, and a picture to draw after."""

    dialogues: tuple[Annotated[str, Field(max_length=20_000)], ...]
    attach_id: AttachId | None = None


class StorybookDocument(Envelope):
    """The whole document."""

    book_id: UUID | None = None
    style: str = Style.CARTOON
    pages: tuple[PagePart, ...]


def parse(reader: Reader, content: Document) -> Order:
    """A stage per page, with a prompt made from its dialogues and the style.

    Raises:
        OrderRejected: an unknown style, a page on which nothing is said, or a field that is wrong.
    """
    document = reader.read(StorybookDocument, content)
    style = _style(document.style)
    stages = []
    for index, page in enumerate(document.pages):
        spoken = [line for line in page.dialogues if line.strip()]
        if not spoken:
            raise OrderRejected(f"pages[{index}].dialogues", "is empty; give the text of this page")
        references = () if page.attach_id is None else (Reference(attach_id=page.attach_id, type="page"),)
        stages.append(
            Stage(
                stage_index=index,
                label=f"page {index + 1}",
                prompt=with_negative(
                    page_prompt(style, spoken, has_reference=bool(references)), document.negative_prompt
                ),
                quantity=1,
                aspect_ratio=document.aspect_ratio,
                references=references,
                image_size=document.size_of(page),
                format=document.format_of(page),
            )
        )
    order = document.order(JobType.STORYBOOK, stages)
    return order.model_copy(update={"book_id": document.book_id})


def _style(name: str) -> Style:
    try:
        return Style(name.strip().lower().replace("-", "_").replace(" ", "_"))
    except ValueError:
        raise OrderRejected("style", f"'{name}' is unknown; use one of {', '.join(Style)}") from None
