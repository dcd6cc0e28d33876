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
from cli.results import without_files
from darkroom.domain.images import Generated, ImageRequest, ProviderAnswer
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.storybook import Book
from darkroom.exports.archive import archive_of
from darkroom.exports.choosing import Choice, choose
from darkroom.exports.taking import take
from darkroom.exports.targets import Folder
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
    last: ImageRequest

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        self.last = request
        return await super().generate(request)

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


def told(data: bytes) -> tuple[str | None, str | None, str | None]:
    said = xmp_of(data)
    return said.get(readback.SOURCE_TYPE), said.get(readback.MODEL), said.get(readback.JOB)


KINDS = {"webp": "WEBP", "jpeg": "JPEG", "png": "PNG", "avif": "AVIF", "original": "PNG"}


async def test_each_stage_has_its_format_and_every_file_its_mark(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, providers={"gemini": Generating()}) as stack:
        stages = [{"prompt": f"a {word}", "quantity": 1, "format": word} for word in KINDS]
        checked = await stack.client.check({"stages": stages, "provider": "gemini"}, LOCAL_USER)
        job_id = uuid4()
        await stack.client.submit(checked, job_id=job_id)
        await stack.client.result(job_id)
        images = sorted(await stack.parts.records.delivered_images(job_id, 0, 100), key=lambda it: it.stage_index)
        stored = [await stack.parts.storage.get(image.path) or b"" for image in images]
        assert [Image.open(io.BytesIO(data)).format for data in stored] == list(KINDS.values())
        assert [row["attach_file_type"] for row in await rows(stack, "quel_attach")] == [
            (await stack.parts.records.stored_file(image.attach_id)).media_type  # type: ignore[union-attr]
            for image in sorted(images, key=lambda it: it.attach_id)
        ]
        assert [image.file_name for image in images] == [
            "stage-0-0.webp", "stage-1-0.jpg", "stage-2-0.png", "stage-3-0.avif", "stage-4-0.png"
        ]  # fmt: skip
        for data in stored[:4]:
            assert told(data) == (readback.TRAINED, MODEL, str(job_id))
        assert stored[4] == ANSWER  # C2PA and all
        sidecar = images[4].sidecar
        assert sidecar is not None
        mark = await stack.parts.storage.get(sidecar)
        assert mark is not None
        assert told(mark) == (readback.TRAINED, MODEL, str(job_id))
        export = await choose(stack.parts.records, job_id, Choice())
        archive = await archive_of(export, stack.parts.storage)
        packed = b"".join([part async for part in archive.read()])
        with zipfile.ZipFile(io.BytesIO(packed)) as package:
            assert package.read("stage-5_001.xmp") == mark
            assert package.read("stage-5_001.png") == ANSWER
        prefix = images[0].path.rpartition("/")[0]
        kept = {key for key in await stack.parts.storage.keys(f"{prefix}/") if not key.endswith("/checksums.json")}
        assert len(kept) == len(KINDS) + 1
        assert (await take(export, stack.parts.storage, Folder(home / "taken"))).written == len(KINDS)
        assert (home / "taken" / "stage-5_001.xmp").read_bytes() == mark
        assert (home / "taken" / "stage-5_001.png").read_bytes() == ANSWER
        sheet = contact_sheet("A job", [Frame(0, 0, picture=home / "taken" / "stage-5_001.png")])
        assert xmp_of(sheet)[readback.SOURCE_TYPE] == readback.TRAINED
        assert await without_files(stack.parts, images) == []
        await stack.parts.storage.delete([sidecar])
        [finding] = await without_files(stack.parts, images)
        assert sidecar in finding
        assert (await take(export, stack.parts.storage, Folder(home / "again"))).missing == (sidecar,)
        archive = await archive_of(export, stack.parts.storage)
        packed = b"".join([part async for part in archive.read()])
        with zipfile.ZipFile(io.BytesIO(packed)) as package:
            assert "stage-5_001.xmp" in package.read("missing.txt").decode()
        await stack.check_invariants()


async def test_a_cover_of_an_original_is_marked_by_what_lies_beside_it(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, providers={"gemini": Generating()}) as stack:
        book = Book(book_id=uuid4(), user_id=LOCAL_USER, base_path=f"books/{uuid4()}")
        await stack.parts.records.ensure_book(book)
        document = {
            "pages": [{"dialogues": ["Once."]}],
            "book_id": str(book.book_id),
            "provider": "gemini",
            "format": "original",
        }
        job_id = uuid4()
        await stack.client.submit(await stack.client.check(document, LOCAL_USER), job_id=job_id)
        await stack.client.result(job_id)
        cover = await stack.parts.storage.get(book.cover)
        assert cover is not None
        assert told(cover) == (readback.TRAINED, MODEL, str(job_id))


async def test_a_format_of_the_settings_is_that_of_orders_without_one(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, image_format="png") as stack:
        job_id = await stack.order(1)
        await stack.client.result(job_id)
        [data] = await files(stack, job_id)
        assert Image.open(io.BytesIO(data)).format == "PNG"


async def test_an_original_without_a_mark_has_nothing_beside_it(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(
        skipping_client, home, providers={"gemini": Generating()}, ai_mark=False, image_format="original"
    ) as stack:
        job_id = await stack.order(1, provider="gemini")
        await stack.client.result(job_id)
        [image] = await stack.parts.records.delivered_images(job_id, 0, 100)
        assert image.sidecar is None
        assert image.path.endswith(".png")
        assert await files(stack, job_id) == [ANSWER]


async def test_a_delivered_avif_can_be_a_reference(skipping_client: TemporalClient, home: Path) -> None:
    provider = Generating()
    async with running_stack(skipping_client, home, providers={"gemini": provider}) as stack:
        first = await stack.order(1, provider="gemini", format="avif")
        await stack.client.result(first)
        [image] = await stack.parts.records.delivered_images(first, 0, 100)
        stage = {"prompt": "again", "quantity": 1, "individualImageAttachIds": [{"attachId": image.attach_id}]}
        again = await stack.order(provider="gemini", stages=[stage])
        await stack.client.result(again)
        [reference] = provider.last.references
        assert reference.media_type == "image/webp"
        assert Image.open(io.BytesIO(reference.data)).format == "WEBP"
