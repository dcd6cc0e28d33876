"""The activity that finishes a storybook: its cover, and its row (spec §7)."""

import asyncio

import structlog
from temporalio import activity

from activities.errors import at_the_edge
from activities.liveness import finish_despite_cancel
from darkroom.domain.errors import StorageRefused
from darkroom.domain.jobs import End, FinishBook
from darkroom.domain.names import sidecar_key
from darkroom.domain.storybook import Book, Page, book_result, cover_page
from darkroom.pictures import NotAPicture, PictureWork
from darkroom.records.books import BookRecords
from darkroom.storage import Storage

log = structlog.get_logger(__name__)


class BookActivities:
    """What a storybook's workflow asks of the records and the storage."""

    def __init__(self, records: BookRecords, storage: Storage, pictures: PictureWork) -> None:
        self._records = records
        self._storage = storage
        self._pictures = pictures

    @activity.defn
    @at_the_edge
    async def finish_book(self, book: FinishBook) -> None:
        """Write the cover as PNG and, on the book's row, what came of each page. Twice is the same as once."""
        await finish_despite_cancel(asyncio.create_task(self._finish(book)))

    async def _finish(self, asked: FinishBook) -> None:
        book = await self._records.book_of(asked.job_id)
        if book is None:
            return
        pages = await self._records.book_pages(asked.job_id)
        cover: str | None = None
        reason: str | None = None
        try:
            cover = await self._make_cover(book, cover_page(pages))
        except (StorageRefused, NotAPicture) as error:
            # The pages are delivered: what came of them is written all the same.
            reason = str(error)
            log.warning("book without a cover", job_id=str(asked.job_id), reason=reason)
        done = asked.end is End.DELIVERED and cover is not None
        result = book_result(pages, cover, no_cover=reason)
        await self._records.finish_book(asked.job_id, asked.run_id, result, pictures_done=done)

    async def _make_cover(self, book: Book, page: Page | None) -> str | None:
        if page is None or page.path is None:
            return None
        picture = await self._storage.get(page.path)
        if picture is None:
            return None
        beside = sidecar_key(page.path)
        mark = None if beside is None else await self._storage.get(beside)
        await self._storage.put(book.cover, await self._pictures.as_png(picture, mark), "image/png")
        return book.cover
