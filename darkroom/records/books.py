"""The records of what pictures are ordered for."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from darkroom.domain.stored import ProductionOwner
from darkroom.domain.storybook import Book, BookResult, Page


class BookRecords(Protocol):
    """Productions and books."""

    async def production_owner(self, production_id: UUID) -> ProductionOwner | None:
        """Whose production it is; None when there is no such row."""
        ...

    async def book(self, book_id: UUID) -> Book | None:
        """A book's row; None when there is none."""
        ...

    async def ensure_book(self, book: Book) -> None:
        """Create the book's row unless there is one."""
        ...

    async def book_of(self, job_id: UUID) -> Book | None:
        """The book whose pages a job makes; None when its order names none."""
        ...

    async def book_pages(self, job_id: UUID) -> Sequence[Page]:
        """A storybook's pages in their order, each with its delivered picture or its last error."""
        ...

    async def finish_book(self, job_id: UUID, run_id: str, result: BookResult, *, pictures_done: bool) -> None:
        """Write on the book's row what came of its pages, if this run is the job's open one.

        With `pictures_done` the book moves on to its next stage; else only what happened is written.
        """
        ...
