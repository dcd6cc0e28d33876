"""Whether a file carries C2PA content credentials; its bytes are walked through, and no picture is decoded."""

import struct
from collections.abc import Iterator

MOST_PARTS = 20_000
"""Chunks or segments that are looked at; a picture has some tens of them."""


def has_c2pa(data: bytes) -> bool:
    """Whether there is a manifest where the C2PA specification puts it in a PNG, JPEG or WebP; valid or not."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return any(name == b"caBX" for name, _ in _chunks(data, 8, ">I4s", 12))
    if data.startswith(b"\xff\xd8\xff"):
        return any(marker == 0xEB and b"c2pa" in part and part[:2] == b"JP" for marker, part in _segments(data))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return any(name == b"C2PA" for name, _ in _chunks(data, 12, "<4sI", 8))
    return False


def _chunks(data: bytes, at: int, head: str, frame: int) -> Iterator[tuple[bytes, int]]:
    """The names and lengths of the chunks; `frame` is what each has beside its content."""
    for _ in range(MOST_PARTS):
        if at + 8 > len(data):
            return
        one, other = struct.unpack_from(head, data, at)
        name, length = (other, one) if isinstance(one, int) else (one, other)
        yield name, length
        at += frame + length + (length & 1 if frame == 8 else 0)  # a WebP's chunks begin at even places


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The first bytes of each segment before the pixels, with its marker."""
    at = 2
    for _ in range(MOST_PARTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == 0xDA:
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, data[at + 4 : at + 4 + min(length, 512)]
        at += 2 + length
