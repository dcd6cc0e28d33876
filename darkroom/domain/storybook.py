"""A storybook: what became of each page, and of the book (spec §7)."""

from collections.abc import Sequence
from uuid import UUID

from darkroom.domain.model import Value
from darkroom.domain.receipts import shorten

DONE_STAGE = "image"
DONE_PERCENT = 60
"""What a book's row says when its pictures are made; text and sound come after them, elsewhere."""


class Book(Value):
    """A book's row, as far as pictures concern it."""

    book_id: UUID
    user_id: UUID | None
    """None for rows without an owner, which anybody may use."""
    base_path: str
    """The folder of the book's files in the storage."""

    @property
    def cover(self) -> str:
        """Where its cover lies."""
        return f"{self.base_path.strip('/')}/images/cover.png"


class Page(Value):
    """One page as the records know it."""

    page: int
    """From 1."""
    label: str
    attach_id: int | None = None
    path: str | None = None
    """Where its picture lies; None when it is missing."""
    attempts: int = 0
    last_error: str | None = None


class BookResult(Value):
    """What came of a book."""

    pages: tuple[Page, ...]
    page_count: int
    completed_count: int
    failed_count: int
    failed_pages: tuple[int, ...]
    summary: str
    cover_image: str | None = None


def book_result(pages: Sequence[Page], cover_image: str | None, *, no_cover: str | None = None) -> BookResult:
    """The result of a book from its pages, in their order; with the reason why there is no cover."""
    failed = tuple(page.page for page in pages if page.path is None)
    completed = len(pages) - len(failed)
    parts = [f"{completed} of {len(pages)} pages"]
    parts += [
        f"page {page.page}: {page.attempts} {'attempt' if page.attempts == 1 else 'attempts'}"
        f"{f', {shorten(page.last_error)}' if page.last_error else ''}"
        for page in pages
        if page.path is None
    ]
    parts += [f"no cover: {no_cover}"] if no_cover else []
    return BookResult(
        pages=tuple(pages),
        page_count=len(pages),
        completed_count=completed,
        failed_count=len(failed),
        failed_pages=failed,
        summary="; ".join(parts),
        cover_image=cover_image,
    )


def cover_page(pages: Sequence[Page]) -> Page | None:
    """The page whose picture is the cover: the first, or else the first that was delivered."""
    return next((page for page in pages if page.path is not None), None)
