"""Every file that leaves Darkroom says how its picture was made (spec §3), whichever way it leaves."""

import io
import zipfile
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image
from temporalio.client import Client as TemporalClient

from cli.contact_sheet import Frame, contact_sheet
from darkroom.domain.images import Generated, ProviderAnswer
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.storybook import Book
from darkroom.exports.archive import archive_of
from darkroom.exports.choosing import Choice, choose
from darkroom.pictures import digest
from darkroom.records.sqlite import SqliteRecords
from tests.support import readback
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.hostile_pictures import png_with
from tests.support.readback import xmp_of
from tests.support.stacks.workflow import WorkflowStack, running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = "gemini-nano-banana-2.1"
ANSWER = png_with(b"caBX", b"\0\0\0\x10jumb\0\0\0\x08c2pa")


class Generating(ScriptedProvider):
    """Draws with a model, and adds content credentials."""

    model = MODEL  # type: ignore[assignment]  # of the other it is None

    def _answer(self, act: Act) -> ProviderAnswer:
        return Generated(data=ANSWER) if act is Act.DRAW else super()._answer(act)


async def rows(stack: WorkflowStack, table: str) -> list[dict[str, Any]]:
    records = stack.parts.records
    assert isinstance(records, SqliteRecords)
    return [dict(row) for row in await records._db.read(lambda db: db.execute(f"select * from {table}").fetchall())]


async def files(stack: WorkflowStack, job_id: UUID) -> list[bytes]:
    images = await stack.parts.records.delivered_images(job_id, 0, 100)
    return [await stack.parts.storage.get(image.path) or b"" for image in images]


async def test_pictures_of_a_model_say_so_alone_and_in_the_archive(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, providers={"gemini": Generating()}) as stack:
        job_id = await stack.order(3, provider="gemini")
        await stack.client.result(job_id)
        delivered = await files(stack, job_id)
        export = await choose(stack.parts.records, job_id, Choice())
        archive = await archive_of(export, stack.parts.storage)
        packed = b"".join([part async for part in archive.read()])
        with zipfile.ZipFile(io.BytesIO(packed)) as package:
            assert sorted(package.read(one.name) for one in export.pictures) == sorted(delivered)
        for data in delivered:
            said = xmp_of(data)
            assert said[readback.SOURCE_TYPE] == readback.TRAINED
            assert (said[readback.SYSTEM], said[readback.MODEL]) == ("gemini", MODEL)
            assert said[readback.JOB] == str(job_id)
        for row in await rows(stack, "quel_attach"):
            assert (row["source_sha256"], row["source_media_type"]) == (digest(ANSWER), "image/png")
            assert (row["source_c2pa"], row["source_provider"], row["source_model"]) == (1, "gemini", MODEL)
        frames = [Frame(0, n, picture=partial(bytes, data)) for n, data in enumerate(delivered)]
        sheet = contact_sheet("A job", frames)
        assert xmp_of(sheet)[readback.SOURCE_TYPE] == readback.TRAINED
        await stack.check_invariants()


async def test_pictures_of_a_program_say_that(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.order(1)
        await stack.client.result(job_id)
        [data] = await files(stack, job_id)
        assert xmp_of(data)[readback.SOURCE_TYPE] == readback.ALGORITHMIC
        [row] = await rows(stack, "quel_attach")
        assert row["source_c2pa"] == 0


async def test_the_cover_of_a_book_says_what_its_page_says(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, providers={"gemini": Generating()}) as stack:
        book = Book(book_id=uuid4(), user_id=LOCAL_USER, base_path=f"books/{uuid4()}")
        await stack.parts.records.ensure_book(book)
        document = {"pages": [{"dialogues": ["Once."]}], "book_id": str(book.book_id), "provider": "gemini"}
        job_id = uuid4()
        await stack.client.submit(await stack.client.check(document, LOCAL_USER), job_id=job_id)
        await stack.client.result(job_id)
        cover = await stack.parts.storage.get(book.cover)
        assert cover is not None
        assert Image.open(io.BytesIO(cover)).format == "PNG"
        said = xmp_of(cover)
        assert (said[readback.SOURCE_TYPE], said[readback.JOB]) == (readback.TRAINED, str(job_id))


async def test_the_mark_can_be_switched_off(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, providers={"gemini": Generating()}, ai_mark=False) as stack:
        job_id = await stack.order(1, provider="gemini")
        await stack.client.result(job_id)
        [data] = await files(stack, job_id)
        assert xmp_of(data) == {}
