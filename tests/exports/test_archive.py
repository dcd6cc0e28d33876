"""Any part of an archive is the slice of the whole, and other programs open it."""

import asyncio
import csv
import io
import json
import shutil
import struct
import subprocess
import tempfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.domain.errors import FileMissing
from darkroom.domain.orders import Reference, Stage
from darkroom.domain.progress import JobStatus
from darkroom.domain.snapshots import Picture
from darkroom.exports import zip_layout
from darkroom.exports.archive import Archive, archive_of
from darkroom.exports.choosing import Chosen, Export
from darkroom.exports.zip_layout import Entry
from darkroom.pictures import digest
from darkroom.storage.files import FileStorage
from tests.support.programs import required

JOB = UUID(int=7)
AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
FORMULA = '=HYPERLINK("http://evil")'


class Counting(FileStorage):
    """Counts what is read of the pictures."""

    reads = 0

    async def get(self, key: str) -> bytes | None:
        self.reads += key.endswith(".webp")
        return await super().get(key)


def pictured(contents: list[bytes], *, recorded: bool = True) -> list[Chosen]:
    stage = Stage(stage_index=0, label=FORMULA, prompt="a red\nchair", quantity=9, references=(Reference(attach_id=3),))
    return [
        Chosen(
            name=f"größe_{ordinal}.webp",
            picture=Picture(
                attach_id=ordinal + 1,
                stage_index=0,
                ordinal=ordinal,
                path=f"generated-images/user-anonymous/job-{JOB}/0-{ordinal}.webp",
                size=len(data) if recorded else 0,
                sha256=digest(data) if recorded else None,
                delivered_at=AT + timedelta(seconds=ordinal),
                provider="gemini",
                model="m",
            ),
            stage=stage,
            credits=20,
        )
        for ordinal, data in enumerate(contents)
    ]


async def stored(storage: FileStorage, contents: list[bytes], *, recorded: bool = True) -> Export:
    pictures = pictured(contents, recorded=recorded)
    for one, data in zip(pictures, contents, strict=True):
        await storage.put(one.picture.path, data, "image/webp")
    return Export(job_id=JOB, user_id=None, status=JobStatus.COMPLETED, pictures=tuple(pictures))


def opens(*command: str | Path) -> bool:
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0


async def all_of(archive: Archive, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([part async for part in archive.read(start, stop)])


CONTENTS = st.lists(st.binary(min_size=1, max_size=40), max_size=4)
CUTS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=8)


@settings(max_examples=60, deadline=None)
@given(CONTENTS, CUTS)
def test_any_part_is_the_slice_of_the_whole(contents: list[bytes], cuts: list[tuple[float, float]]) -> None:
    async def check(folder: str) -> None:
        storage = FileStorage(Path(folder))
        export = await stored(storage, contents)
        archive = await archive_of(export, storage)
        parts = []
        for one, other in cuts:
            start, stop = sorted((int(one * archive.size), int(other * archive.size)))
            fresh = await archive_of(export, storage)
            assert fresh.etag == archive.etag
            parts.append((start, stop, await all_of(fresh, start, stop)))
        whole = await all_of(archive)
        assert len(whole) == archive.size
        for start, stop, part in parts:
            assert part == whole[start:stop]
        with zipfile.ZipFile(io.BytesIO(whole)) as package:
            assert package.testzip() is None
            assert [package.read(name) for name in package.namelist()[: len(contents)]] == contents

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(folder))


async def test_what_is_known_is_not_read_again(tmp_path: Path) -> None:
    storage = Counting(tmp_path)
    export = await stored(storage, [b"one" * 100, b"two" * 100, b"three" * 100])
    archive = await archive_of(export, storage)
    assert (archive.size > 0, archive.etag != "", storage.reads) == (True, True, 0)
    whole = await all_of(archive)
    assert storage.reads == 3
    again = await archive_of(export, storage)
    assert await all_of(again, archive.size - 300) == whole[-300:]
    assert storage.reads == 3
    assert await all_of(again, 1000) == whole[1000:]
    assert storage.reads < 6


async def test_rows_that_do_not_tell_what_their_files_are_are_measured_once(tmp_path: Path) -> None:
    storage = Counting(tmp_path)
    export = await stored(storage, [b"one", b"three"], recorded=False)
    archive = await archive_of(export, storage)
    assert storage.reads == 2
    with zipfile.ZipFile(io.BytesIO(await all_of(archive))) as package:
        assert package.testzip() is None
        told = json.loads(package.read("manifest.json"))["pictures"]
    assert [(one["size"], one["sha256"]) for one in told] == [(3, digest(b"one")), (5, digest(b"three"))]
    storage.reads = 0
    assert (await archive_of(export, storage)).etag == archive.etag
    assert storage.reads == 0


async def test_a_file_that_changed_breaks_the_archive_off_and_is_in_the_next_as_it_is(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    export = await stored(storage, [b"one", b"two"])
    archive = await archive_of(export, storage)
    await storage.put(export.pictures[1].picture.path, b"other", "image/webp")
    with pytest.raises(FileMissing, match="picture 2"):
        await all_of(archive)
    after = await archive_of(export, storage)
    assert after.etag != archive.etag
    with zipfile.ZipFile(io.BytesIO(await all_of(after))) as package:
        assert package.read("größe_1.webp") == b"other"


async def test_the_manifests_say_what_is_there_and_compute_nothing(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    export = await stored(storage, [b"one", b"two"])
    await storage.delete([export.pictures[0].picture.path])
    with zipfile.ZipFile(io.BytesIO(await all_of(await archive_of(export, storage)))) as package:
        assert package.namelist() == ["größe_1.webp", "manifest.json", "manifest.csv", "missing.txt"]
        assert "größe_0.webp" in package.read("missing.txt").decode()
        document = json.loads(package.read("manifest.json"))
        [row] = csv.DictReader(io.StringIO(package.read("manifest.csv").decode("utf-8-sig"), newline=""))
    assert document["stages"] == [
        {"stage": 0, "label": FORMULA, "prompt": "a red\nchair", "references": [{"attach_id": 3, "type": None}]}
    ]
    assert (document["missing"], len(document["pictures"])) == (["größe_0.webp"], 1)
    assert row == {
        "file": "größe_1.webp",
        "stage": "0",
        "label": f"'{FORMULA}",
        "ordinal": "1",
        "prompt": "a red\nchair",
        "references": "3",
        "provider": "gemini",
        "model": "m",
        "size": "3",
        "sha256": digest(b"two"),
        "credits": "20",
        "attach_id": "2",
    }


async def test_another_program_opens_it(tmp_path: Path) -> None:
    unzip = required(shutil.which("unzip"), "the `unzip` program", "install the package unzip")
    storage = FileStorage(tmp_path / "files")
    archive = await archive_of(await stored(storage, [b"one" * 1000, b"two"]), storage)
    file = tmp_path / "a.zip"
    file.write_bytes(await all_of(archive))
    assert await asyncio.to_thread(opens, unzip, "-t", file)


def test_more_files_than_a_zip_of_old_could_name(tmp_path: Path) -> None:
    entries = [Entry(name=f"{number}.webp", size=1, moment=AT) for number in range(70_000)]
    file = tmp_path / "many.zip"
    starts = zip_layout.offsets(entries)
    crc = zip_layout.crc_of(b"x")
    with file.open("wb") as out:
        for entry in entries:
            out.write(zip_layout.local_header(entry) + b"x" + zip_layout.descriptor(entry, crc))
        assert out.tell() == starts[-1]
        out.write(zip_layout.directory(entries, starts, [crc] * len(entries)))
        assert out.tell() == starts[-1] + zip_layout.directory_size(entries, starts)
    with zipfile.ZipFile(file) as package:
        assert len(package.namelist()) == 70_000
        assert package.read("69999.webp") == b"x"
    if shutil.which("unzip"):
        assert opens("unzip", "-tq", file)


def test_an_archive_above_4_gb(tmp_path: Path) -> None:
    """Written sparsely: 300 files of 20 MB of zeros, of which the disk keeps nothing."""
    size = 20_000_000
    entries = [Entry(name=f"{number}.webp", size=size, moment=AT) for number in range(300)]
    starts = zip_layout.offsets(entries)
    crc = zip_layout.crc_of(bytes(size))
    file = tmp_path / "large.zip"
    with file.open("wb") as out:
        for entry, start in zip(entries, starts, strict=False):
            out.seek(start)
            out.write(zip_layout.local_header(entry))
            out.seek(size, io.SEEK_CUR)
            out.write(zip_layout.descriptor(entry, crc))
        out.write(zip_layout.directory(entries, starts, [crc] * len(entries)))
        assert out.tell() == starts[-1] + zip_layout.directory_size(entries, starts) > 2**32
    with zipfile.ZipFile(file) as package:
        assert [info.header_offset for info in package.infolist()] == starts[:-1]
        with package.open("299.webp") as last:
            assert len(last.read()) == size
    assert struct.unpack("<I", _tail(file))[0] == 2**32 - 1


def _tail(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(-6, io.SEEK_END)
        return opened.read(4)
