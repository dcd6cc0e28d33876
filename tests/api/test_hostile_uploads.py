"""Uploads by strangers: what is stored is a picture and nothing else, and what is none is refused in one line."""

import asyncio
import io
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from PIL import Image

from darkroom.orders.references import LARGEST_UPLOAD
from tests.support.hostile_pictures import SVG, bombs, carriers, exif, large_texts, picture, png_of, refused
from tests.support.stacks.api import ApiStack, is_a_problem
from tests.support.until import until

BOUNDARY = "a-boundary"


async def upload(api: ApiStack, data: bytes, name: str = "a.png", kind: str = "image/png") -> httpx.Response:
    return await api.http.post("/api/attachments", files={"file": (name, data, kind)})


async def stored(api: ApiStack, answer: httpx.Response) -> bytes:
    """What was stored for an upload."""
    assert answer.status_code == 201, answer.text
    file = await api.parts.records.stored_file(answer.json()["attach_id"])
    assert file is not None
    data = await api.parts.storage.get(file.path)
    assert data is not None
    return data


def nothing_stored(api: ApiStack) -> bool:
    return not [path for path in (api.parts.settings.darkroom_home / "files").rglob("*") if path.is_file()]


def part(disposition: str, data: bytes, *more: str) -> dict[str, Any]:
    """A multipart body by hand: httpx would mend its names."""
    head = "\r\n".join([f"--{BOUNDARY}", f"Content-Disposition: {disposition}", *more, "", ""])
    return {
        "content": head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode(),
        "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    }


@contextmanager
def memory() -> Iterator[list[float]]:
    """The largest number of MB that the process takes meanwhile, above what it took before."""
    process, over, most = psutil.Process(), threading.Event(), [0.0]
    before = process.memory_info().rss

    def watch() -> None:
        while not over.wait(0.002):
            most[0] = max(most[0], (process.memory_info().rss - before) / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield most
    over.set()
    watcher.join()


async def test_what_a_file_carries_beside_its_pixels_is_not_stored(quiet: ApiStack) -> None:
    for name, data in carriers().items():
        kept = await stored(quiet, await upload(quiet, data))
        for word in (b"PAYLOAD", b"script", b"php", b"PK\x03\x04", b"Exif", b"GPS", b"ICC"):
            assert word not in kept, (name, word)
        with Image.open(io.BytesIO(kept)) as image:
            assert image.size == (16, 8)
            assert not image.getexif(), name
            assert not {"comment", "xmp", "icc_profile", "exif"} & set(image.info), name
            left, right = [image.convert("RGB").getpixel((x, 4)) for x in (3, 12)]
        assert left[0] > 150 > left[2], name  # type: ignore[index]  # RGB pixels are tuples
        assert right[2] > 150 > right[0], name  # type: ignore[index]


async def test_what_is_no_picture_is_refused_and_nothing_is_stored(quiet: ApiStack) -> None:
    for name, data in refused().items():
        for file, kind in (("a.png", "image/png"), ("a.jpg", "image/jpeg"), ("a.webp", "application/octet-stream")):
            answer = await upload(quiet, data, file, kind)
            assert answer.status_code == 415, (name, answer.text)
            problem = answer.json()
            assert (problem["code"], problem["field"]) == ("unsupported_media_type", "file")
            assert "0x" not in problem["detail"], (name, problem["detail"])
            assert len(problem["detail"]) < 300, name
    assert nothing_stored(quiet)


async def test_bytes_decide_what_a_file_is_not_what_is_said_of_it(quiet: ApiStack) -> None:
    answer = await upload(quiet, picture("JPEG"), "a.svg", "image/svg+xml")
    assert answer.json()["media_type"] == "image/jpeg"
    shown = await quiet.http.get(answer.json()["url"])
    assert shown.headers["content-type"] == "image/jpeg"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert shown.headers["content-disposition"].endswith('.jpg"')


async def test_a_photograph_is_turned_upright(quiet: ApiStack) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        answer = await upload(quiet, picture(kind, exif=exif(orientation=6)))
        assert (answer.json()["width"], answer.json()["height"]) == (8, 16)
        with Image.open(io.BytesIO(await stored(quiet, answer))) as image:
            top, bottom = [image.convert("RGB").getpixel((4, y)) for y in (3, 12)]
        assert top[0] > 150 > top[2], kind  # type: ignore[index]
        assert bottom[2] > 150 > bottom[0], kind  # type: ignore[index]


BROKEN: dict[str, bytes] = {
    "jpeg-exif-nowhere": picture("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "jpeg-exif-garbage": picture("JPEG", exif=b"Exif\0\0garbage"),
    "png-exif-cut": picture(exif=b"II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\x01\0\0\0\x09\0\0\0"),
    "webp-exif-cut": picture("WEBP", exif=b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abcd"),
    "png-16-bit": picture(mode="I;16"),
    "png-one-bit": picture(mode="1"),
    "png-palette": picture(mode="P"),
    "png-grey-alpha": picture(mode="LA"),
    "jpeg-cmyk": picture("JPEG", mode="CMYK"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
async def test_odd_pictures_are_pictures(quiet: ApiStack) -> None:
    for name, data in BROKEN.items():
        kept = await stored(quiet, await upload(quiet, data))
        with Image.open(io.BytesIO(kept)) as image:
            assert image.mode in ("RGB", "RGBA"), name


async def test_bombs_are_refused_before_they_take_memory(quiet: ApiStack) -> None:
    for name, data in bombs().items():
        assert len(data) < 1_000_000, name
        with memory() as most:
            answer = await upload(quiet, data)
        assert answer.status_code == 415, (name, answer.text)
        assert most[0] < 150, (name, most[0])
    assert nothing_stored(quiet)


async def test_texts_that_nobody_keeps_are_skipped_before_they_take_memory(quiet: ApiStack) -> None:
    for name, data in large_texts().items():
        with memory() as most:
            kept = await stored(quiet, await upload(quiet, data))
        assert b"Comment" not in kept, name
        assert most[0] < 50, (name, most[0])


async def test_grey_of_16_bits_is_scaled_and_never_clipped(quiet: ApiStack) -> None:
    target = io.BytesIO()
    Image.frombytes("I;16", (2, 1), struct.pack("<HH", 40_000, 10_000)).resize((16, 8), 0).save(target, "PNG")
    kept = await stored(quiet, await upload(quiet, target.getvalue()))
    with Image.open(io.BytesIO(kept)) as image:
        assert [image.convert("L").getpixel((x, 4)) for x in (3, 12)] == [156, 39]


async def test_a_format_that_is_not_read_is_named_with_what_to_do(quiet: ApiStack) -> None:
    for brand, name in ((b"heic", "HEIC"), (b"avif", "AVIF")):
        answer = await upload(
            quiet, b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand + bytes(64), "a.jpg", "image/jpeg"
        )
        assert answer.status_code == 415
        assert f"{name} format" in answer.json()["detail"]
        assert "convert it to JPEG" in answer.json()["detail"]


async def test_the_largest_pictures_are_taken_one_at_a_time(quiet: ApiStack) -> None:
    largest = png_of(8_000, 5_000)
    assert len(largest) < 10_000
    with memory() as most:
        answers = await asyncio.gather(*(upload(quiet, largest) for _ in range(2)))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({answer.json()["attach_id"] for answer in answers}) == 1
    assert most[0] < 300


async def test_one_users_large_pictures_keep_no_others_waiting(signed: ApiStack) -> None:
    mine, theirs = [signed.as_user(await signed.key(uuid4())) for _ in range(2)]
    largest = {"file": ("a.png", png_of(8_000, 5_000), "image/png")}
    slow = [asyncio.create_task(signed.http.post("/api/attachments", files=largest, headers=mine)) for _ in range(5)]

    async def busy() -> bool:
        return bool(signed.parts.uploads.pids)

    await until(busy, "a process for a large picture")
    answer = await signed.http.post("/api/attachments", files={"file": picture()}, headers=theirs)
    assert answer.status_code == 201
    assert not all(task.done() for task in slow)
    # Another's large one waits for one of them at most, and not for all.
    answer = await signed.http.post("/api/attachments", files=largest, headers=theirs)
    assert answer.status_code == 201
    assert not all(task.done() for task in slow)
    assert [(await task).status_code for task in slow] == [201] * 5


async def test_20_mb_are_the_most(quiet: ApiStack) -> None:
    whole = picture()
    assert (await upload(quiet, whole + bytes(LARGEST_UPLOAD - len(whole)))).status_code == 201
    for data in (whole + bytes(LARGEST_UPLOAD - len(whole) + 1), bytes(LARGEST_UPLOAD + 500_000)):
        answer = await upload(quiet, data)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), answer.text
        is_a_problem(answer)


NAMES: list[tuple[str, str]] = [
    ("../../etc/passwd", "passwd"),
    ("..\\..\\windows\\a.png", "a.png"),
    ("/etc/", "picture"),
    ("..", ".."),
    ("a\x00.png", "a.png"),
    ("a\x1b[31m\x07.png", "a[31m.png"),
    ("evil\u202egnp.exe", "evilgnp.exe"),
    ("\u200b\ufeff", "picture"),
    ("<script>alert(1)</script>.png", "script>.png"),
    ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
    ("Ünïcødé 写真.png", "Ünïcødé 写真.png"),
    ("n" * 3_000, "n" * 200),
    ('a\\"; filename=\\"b.png', 'a"; filename="b.png'),
    ("", "picture"),
]


async def test_names_are_shown_back_as_plain_text(quiet: ApiStack) -> None:
    for given, shown in NAMES:
        request = part(f'form-data; name="file"; filename="{given}"', picture(), "Content-Type: image/png")
        answer = await quiet.http.post("/api/attachments", **request)
        assert answer.status_code == 201, (given[:40], answer.text)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["name"] == shown, given[:40]
        saved = await quiet.http.get(answer.json()["url"] + "&download=true")
        assert re.fullmatch(r'attachment; filename="[0-9a-z-]+\.png"', saved.headers["content-disposition"])
    files = [path.name for path in (quiet.parts.settings.darkroom_home / "files").rglob("*") if path.is_file()]
    assert len(files) == 1


async def test_a_name_cannot_add_a_header(quiet: ApiStack) -> None:
    for name, statuses in (("a\r\nX-Evil: 1", {201, 400}), ("a\nX-Evil: 1", {201, 400}), ("n" * 10_000, {400})):
        request = part(f'form-data; name="file"; filename="{name}"', picture())
        answer = await quiet.http.post("/api/attachments", **request)
        assert answer.status_code in statuses, answer.text
        assert "x-evil" not in answer.headers
        assert answer.json().get("name", "a").isprintable()


FORMS: list[dict[str, Any]] = [
    part('form-data; name="file"', picture()),
    part('form-data; name="other"; filename="a.png"', picture()),
    part("attachment", picture()),
    part("form-data", picture()),
    {"content": b"", "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}},
    {"content": b"x" * 1000, "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}},
    {"content": picture(), "headers": {"Content-Type": "multipart/form-data"}},
    {"content": b"--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=" + "b" * 5_000}},
    {"json": {"file": "a.png"}},
    {"data": {"file": "a.png"}},
    {"files": [("file", (f"{n}.png", b"x")) for n in range(1_001)]},
    {"data": {f"field-{n}": "x" for n in range(1_001)}, "files": {"file": ("a.png", picture())}},
]


async def test_a_form_that_is_none_is_refused_in_one_line(quiet: ApiStack) -> None:
    for request in FORMS:
        answer = await quiet.http.post("/api/attachments", **request)
        assert answer.status_code == (400 if "files" in request or "headers" in request else 415), (
            str(request)[:200],
            answer.text,
        )
        is_a_problem(answer)
    assert nothing_stored(quiet)


async def test_a_file_of_another_kind_is_415_whatever_the_body_is_called(quiet: ApiStack) -> None:
    answer = await quiet.http.post("/api/attachments", content=picture(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 415
    answer = await quiet.http.post("/api/attachments", content=SVG, headers={"Content-Type": "image/svg+xml"})
    assert answer.status_code == 415
