"""Content credentials are found where the C2PA specification puts them."""

import struct
import time

import pytest

from darkroom.decoding.c2pa import has_c2pa
from tests.support.hostile_pictures import chunk, picture, png_with

MANIFEST = b"\0\0\0\x40jumb\0\0\0\x30jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0" + bytes(40)


def jpeg_with(marker: int, content: bytes) -> bytes:
    whole = picture("JPEG")
    return whole[:2] + b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content + whole[2:]


def webp_with(name: bytes, content: bytes, before: bytes | None = None) -> bytes:
    body = (
        (before or picture("WEBP"))[8:] + name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


WITH = {
    "png": png_with(b"caBX", MANIFEST),
    "jpeg": jpeg_with(0xEB, b"JP\0\1\0\0\0\1" + MANIFEST),
    "webp": webp_with(b"C2PA", MANIFEST),
    "webp behind an odd chunk": webp_with(b"C2PA", MANIFEST, webp_with(b"ODD ", b"abc")),
}
WITHOUT = {
    "png": picture(),
    "jpeg": picture("JPEG"),
    "webp": picture("WEBP"),
    "another box": jpeg_with(0xEB, b"JP\0\1\0\0\0\1jumbjumdjson"),
    "another segment": jpeg_with(0xE2, MANIFEST),
    "the word in a text": png_with(b"tEXt", b"Comment\0caBX c2pa"),
    "nothing": b"",
    "a picture's first bytes": b"\x89PNG\r\n\x1a\n\xff",
    "cut short": WITH["png"][:30],
}


@pytest.mark.parametrize("name", WITH)
def test_content_credentials_are_found(name: str) -> None:
    assert has_c2pa(WITH[name])


@pytest.mark.parametrize("name", WITHOUT)
def test_a_file_without_them_has_none(name: str) -> None:
    assert not has_c2pa(WITHOUT[name])


@pytest.mark.parametrize(
    "data",
    [
        picture()[:33] + chunk(b"abCd", b"") * 1_700_000,
        b"\xff\xd8" + b"\xff" * 20_000_000,
        b"\xff\xd8" + b"\xff\xe0\0\2" * 5_000_000,
        picture("WEBP") + b"ABCD\0\0\0\0" * 2_500_000,
    ],
    ids=["png", "padding", "jpeg", "webp"],
)
def test_twenty_megabytes_of_small_parts_are_looked_at_for_a_moment(data: bytes) -> None:
    started = time.process_time()
    assert not has_c2pa(data)
    assert time.process_time() - started < 1.5


@pytest.mark.parametrize("whole", WITH.values(), ids=WITH)
def test_a_file_cut_anywhere_is_no_error(whole: bytes) -> None:
    for end in range(len(whole)):
        has_c2pa(whole[:end])
