"""The chunks of a PNG that decide what is seen; all others are taken out before a decoder reads them.

A picture of a painting tool carries its whole workflow, megabytes of it, in a text chunk; Pillow refuses such
a file, as it does one whose text is broken, though not a pixel is wrong.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"

LARGEST_PROFILE = 8 * 1024 * 1024
"""Bytes of a colour profile; tables of printers have one or two MB."""

LARGEST_TEXT = 256 * 1024
"""Bytes of EXIF or XMP, which may say which way is up."""

_LENGTHS = {b"gAMA": range(4, 5), b"sRGB": range(1, 2), b"acTL": range(8, 9), b"fcTL": range(26, 27)}
_LENGTHS |= {b"eXIf": range(LARGEST_TEXT), b"fdAT": range(5, 2**31)}
"""Of ancillary chunks that are kept; another length makes them broken."""

_TRANSPARENCY = {0: range(2, 3), 2: range(6, 7), 3: range(1, 257)}
"""Lengths of `tRNS` for each kind of pixels that has one."""

_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_KEYWORDS = frozenset({b"Raw profile type exif", b"XML:com.adobe.xmp"})
"""Texts that Pillow looks into for the orientation."""

_HEAD = 33
"""Bytes of the signature and of IHDR, the first chunk."""

_END = b"\0\0\0\0IEND\xaeB`\x82"


class PlainPng(NamedTuple):
    """A PNG with the chunks that decide what is seen."""

    data: bytes
    profile: bytes | None
    """The colour profile, which is no longer in the data."""


class _Chunk(NamedTuple):
    name: bytes
    content: memoryview
    whole: memoryview

    def is_ancillary(self) -> bool:
        """Whether a decoder may do without it: the first letter is lower case."""
        return bool(self.name[0] & 0x20)

    def is_intact(self) -> bool:
        """Whether its checksum is right."""
        return zlib.crc32(self.content, zlib.crc32(self.name)) == int.from_bytes(self.whole[-4:], "big")


def plain(data: bytes) -> PlainPng:
    """The PNG without chunks that nobody keeps or that are broken; other bytes come back as they are.

    What is wrong with the pixels stays wrong, and is for the decoder to find. Besides a copy of the data, no
    more memory is taken than a profile may have.
    """
    if not data.startswith(SIGNATURE) or len(data) < _HEAD:
        return PlainPng(data, None)
    parts: list[bytes | memoryview] = [SIGNATURE]
    profile: bytes | None = None
    seen: set[bytes] = set()
    for chunk in _chunks(memoryview(data)):
        if chunk.is_ancillary():
            if chunk.name == b"iCCP" and profile is None and chunk.is_intact():
                profile = _profile(bytes(chunk.content))
            name = _kept(chunk, data[25])
            if name is None or name in seen or not chunk.is_intact():
                continue
            if name not in (b"fcTL", b"fdAT"):
                seen.add(name)
        parts.append(chunk.whole)
        if chunk.name == b"IEND":
            break
    return PlainPng(b"".join(parts), profile)


def _chunks(data: memoryview) -> Iterator[_Chunk]:
    """The chunks in their order; the last may be cut short.

    An ancillary one that claims more bytes than there are is the end of a picture whose pixels are there.
    """
    at, pixels = len(SIGNATURE), False
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunk = _Chunk(bytes(data[at + 4 : at + 8]), data[at + 8 : at + 8 + length], data[at : at + 12 + length])
        if len(chunk.whole) < 12 + length and chunk.is_ancillary() and pixels:
            yield _Chunk(b"IEND", memoryview(b""), memoryview(_END))
            return
        pixels = pixels or chunk.name == b"IDAT"
        yield chunk
        at += 12 + length


def _kept(chunk: _Chunk, pixels: int) -> bytes | None:
    """What an ancillary chunk is kept as, once; None for what is left out."""
    length = len(chunk.content)
    if chunk.name == b"tRNS":
        return chunk.name if length in _TRANSPARENCY.get(pixels, ()) else None
    if chunk.name in _LENGTHS:
        return chunk.name if length in _LENGTHS[chunk.name] else None
    if chunk.name in _TEXTS and length <= LARGEST_TEXT:
        keyword, _, rest = bytes(chunk.content).partition(b"\0")
        if keyword in _KEYWORDS and _is_readable(chunk.name, rest):
            return keyword
    return None


def _is_readable(name: bytes, rest: bytes) -> bool:
    """Whether what follows the keyword is text of a size that is looked into."""
    if name == b"tEXt":
        return True
    if name == b"zTXt":
        return rest[:1] == b"\0" and _inflated(rest[1:], LARGEST_TEXT) is not None
    packed = rest[:2] == b"\1\0"
    text = rest[2:].split(b"\0", 2)
    return len(text) == 3 and (rest[:1] == b"\0" or (packed and _inflated(text[2], LARGEST_TEXT) is not None))


def _profile(content: bytes) -> bytes | None:
    _, _, rest = content.partition(b"\0")
    return _inflated(rest[1:], LARGEST_PROFILE) if rest[:1] == b"\0" else None


def _inflated(packed: bytes, longest: int) -> bytes | None:
    """The bytes; None for broken ones and for more than so many."""
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(packed, longest)
    except zlib.error:
        return None
    return found if unpacker.eof else None
