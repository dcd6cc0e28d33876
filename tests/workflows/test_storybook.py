"""Storybooks: a page a stage, the cover, the book's row (spec §7)."""

import io
import json
import random
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image
from temporalio.client import Client as TemporalClient

from darkroom.domain.errors import OrderRejected, StorageRefused
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.progress import JobStatus
from darkroom.domain.storybook import Book
from darkroom.records.sqlite import SqliteRecords
from darkroom.storage.files import FileStorage
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.stacks.workflow import WorkflowStack, running_stack


async def a_book(stack: WorkflowStack, user_id: UUID | None = LOCAL_USER) -> Book:
    book = Book(book_id=uuid4(), user_id=user_id, base_path=f"books/{uuid4()}")
    await stack.parts.records.ensure_book(book)
    return book


def pages(number: int, **extra: Any) -> dict[str, Any]:
    return {"style": "fantasy", "pages": [{"dialogues": [f"Page {n} begins."]} for n in range(number)], **extra}


async def ordered(stack: WorkflowStack, document: dict[str, Any]) -> UUID:
    job_id = uuid4()
    await stack.client.submit(await stack.client.check(document, LOCAL_USER), job_id=job_id)
    return job_id


async def row(stack: WorkflowStack, book: Book) -> dict[str, Any]:
    records = stack.parts.records
    assert isinstance(records, SqliteRecords)
    [found] = await records._db.read(lambda db: db.execute("select * from quel_books").fetchall())
    assert found["book_id"] == str(book.book_id)
    return {**found, "task_metadata": json.loads(found["task_metadata"]) if found["task_metadata"] else None}


async def test_a_book_gets_its_pages_its_cover_and_its_row(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        book = await a_book(stack)
        receipt = await stack.client.result(await ordered(stack, pages(3, book_id=str(book.book_id))))
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 3)
        found = await row(stack, book)
        assert (found["pipeline_stage"], found["progress_percentage"]) == ("image", 60)
        assert found["cover_image"] == f"{book.base_path}/images/cover.png"
        result = found["task_metadata"]
        assert (result["page_count"], result["completed_count"], result["failed_pages"]) == (3, 3, [])
        assert [page["page"] for page in result["pages"]] == [1, 2, 3]
        cover = await stack.parts.storage.get(found["cover_image"])
        first = await stack.parts.storage.get(result["pages"][0]["path"])
        assert cover is not None
        assert first is not None
        with Image.open(io.BytesIO(cover)) as png, Image.open(io.BytesIO(first)) as webp:
            assert (png.format, png.size) == ("PNG", webp.size)
        await stack.check_invariants()


async def test_without_the_first_page_the_first_that_came_is_the_cover(
    skipping_client: TemporalClient, home: Path
) -> None:
    # Two top-ups are the rule for pages: three calls each, every time the next ordinal.
    script = {(0, ordinal): [Act.MISS] for ordinal in range(3)}
    async with running_stack(skipping_client, home, ScriptedProvider(script)) as stack:
        book = await a_book(stack)
        receipt = await stack.client.result(await ordered(stack, pages(3, book_id=str(book.book_id))))
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)
        result = (await row(stack, book))["task_metadata"]
        assert result["failed_pages"] == [1]
        assert (result["pages"][0]["attempts"], result["pages"][0]["path"]) == (3, None)
        assert result["pages"][0]["last_error"] == "no picture in the answer"
        assert "page 1: 3 attempts, no picture in the answer" in result["summary"]
        assert result["cover_image"] is not None


async def test_a_book_of_which_nothing_came_has_failed_and_does_not_move_on(
    skipping_client: TemporalClient, home: Path
) -> None:
    script = {(page, ordinal): [Act.MISS] for page in range(2) for ordinal in range(2)}
    async with running_stack(skipping_client, home, ScriptedProvider(script), storybook_max_top_ups=1) as stack:
        book = await a_book(stack)
        receipt = await stack.client.result(await ordered(stack, pages(2, book_id=str(book.book_id))))
        assert receipt.status is JobStatus.FAILED
        found = await row(stack, book)
        assert (found["pipeline_stage"], found["cover_image"]) == (None, None)
        assert found["task_metadata"]["failed_pages"] == [1, 2]


async def test_a_restart_of_a_short_book_makes_the_page_and_the_right_cover(
    skipping_client: TemporalClient, home: Path
) -> None:
    script = {(0, ordinal): [Act.MISS] for ordinal in range(2)}
    async with running_stack(skipping_client, home, ScriptedProvider(script), storybook_max_top_ups=1) as stack:
        book = await a_book(stack)
        job_id = await ordered(stack, pages(2, book_id=str(book.book_id)))
        await stack.client.result(job_id)
        await stack.client.restart(job_id)
        assert (await stack.client.result(job_id)).delivered == 2
        result = (await row(stack, book))["task_metadata"]
        assert (result["failed_pages"], result["pages"][0]["attempts"]) == ([], 3)


async def test_twenty_pages_with_a_quarter_of_calls_failing_are_delivered_or_named(
    skipping_client: TemporalClient, home: Path
) -> None:
    chance = random.Random(20261121)
    acts = [Act.MISS, Act.GARBAGE, Act.FAULT]
    script = {
        (page, ordinal): [chance.choice(acts)] for page in range(20) for ordinal in range(3) if chance.random() < 0.25
    }
    async with running_stack(skipping_client, home, ScriptedProvider(script)) as stack:
        book = await a_book(stack)
        receipt = await stack.client.result(await ordered(stack, pages(20, book_id=str(book.book_id))))
        result = (await row(stack, book))["task_metadata"]
        assert receipt.status is JobStatus.COMPLETED
        assert receipt.total.misses >= 2
        assert result["completed_count"] == receipt.delivered
        assert result["completed_count"] + len(result["failed_pages"]) == 20
        assert len(receipt.missing) == len(result["failed_pages"])
        assert await stack.parts.storage.exists(book.cover)
        await stack.check_invariants()


async def test_pages_without_a_book_are_delivered_all_the_same(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        receipt = await stack.client.result(await ordered(stack, pages(2)))
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)


async def test_somebody_elses_book_and_one_that_is_not_there_are_rejected(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        theirs, nobodys = await a_book(stack, uuid4()), await a_book(stack, None)
        for book_id in (theirs.book_id, uuid4()):
            with pytest.raises(OrderRejected) as caught:
                await ordered(stack, pages(1, book_id=str(book_id)))
            assert caught.value.field == "book_id"
        assert (await stack.client.result(await ordered(stack, pages(1, book_id=str(nobodys.book_id))))).delivered == 1


class NoCovers(FileStorage):
    """Takes everything but covers."""

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        if key.endswith("cover.png"):
            raise StorageRefused(f"{key}: no permission; give the folder back")
        await super().put(key, data, media_type)


async def test_a_cover_that_cannot_be_stored_does_not_keep_the_job_open(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom.bootstrap.FileStorage", NoCovers)
    async with running_stack(skipping_client, home) as stack:
        book = await a_book(stack)
        receipt = await stack.client.result(await ordered(stack, pages(2, book_id=str(book.book_id))))
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)
        found = await row(stack, book)
        assert (found["pipeline_stage"], found["cover_image"]) == (None, None)
        assert found["task_metadata"]["completed_count"] == 2
        assert "no cover: " in found["task_metadata"]["summary"]
        assert "no permission; give the folder back" in found["task_metadata"]["summary"]


def covers_in(folder: Path) -> list[Path]:
    return list(folder.rglob("cover.png"))


@pytest.mark.parametrize("folder", ["..", "books/../../etc", "my books", "", "books//one", "bücher/eins"])
async def test_a_folder_that_cannot_hold_files_costs_the_book_its_cover_only(
    skipping_client: TemporalClient, home: Path, folder: str
) -> None:
    async with running_stack(skipping_client, home) as stack:
        book = Book(book_id=uuid4(), user_id=LOCAL_USER, base_path=folder)
        await stack.parts.records.ensure_book(book)
        receipt = await stack.client.result(await ordered(stack, pages(1, book_id=str(book.book_id))))
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 1)
        found = await row(stack, book)
        assert (found["pipeline_stage"], found["cover_image"]) == (None, None)
        assert found["task_metadata"]["failed_pages"] == []
        assert "is not allowed" in found["task_metadata"]["summary"]
        assert covers_in(home) == []


class BrokenPages(FileStorage):
    """Loses the pixels of whatever is read from its final place."""

    async def get(self, key: str) -> bytes | None:
        return b"no pixels" if key.endswith(".webp") else await super().get(key)


async def test_a_page_that_cannot_be_read_any_more_does_not_keep_the_job_open(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom.bootstrap.FileStorage", BrokenPages)
    async with running_stack(skipping_client, home) as stack:
        book = await a_book(stack)
        receipt = await stack.client.result(await ordered(stack, pages(1, book_id=str(book.book_id))))
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 1)
        assert "no cover: 9 bytes are not a" in (await row(stack, book))["task_metadata"]["summary"]


async def test_two_jobs_of_one_book_end_and_the_last_one_is_on_its_row(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        book = await a_book(stack)
        jobs = [await ordered(stack, pages(number, book_id=str(book.book_id))) for number in (2, 3)]
        assert [(await stack.client.result(job_id)).delivered for job_id in jobs] == [2, 3]
        found = await row(stack, book)
        assert found["task_metadata"]["page_count"] in (2, 3)
        assert await stack.parts.storage.exists(found["cover_image"])
        await stack.check_invariants()
