"""How large a picture says it is, read from its first bytes without any decoder."""

import struct

_JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of frames, which tell height and width."""
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def claimed_pixels(head: bytes) -> int | None:
    """Pixels that the beginning of a PNG, JPEG or WebP file claims; None where it does not say.

    Decoders hold files to it by a limit of their own: a file that claims less than it has is refused.
    """
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", head, 16)
        elif head.startswith(b"\xff\xd8"):
            width, height = _of_jpeg(head)
        elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            width, height = _of_webp(head)
        else:
            return None
    except (struct.error, IndexError):
        return None
    return int(width * height)


def _of_jpeg(head: bytes) -> tuple[int, int]:
    at = 2
    while True:
        if head[at] != 0xFF:
            raise IndexError(at)
        marker = head[at + 1]
        if marker == 0xFF:  # fill bytes
            at += 1
            continue
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 if marker in _WITHOUT_LENGTH else 2 + struct.unpack_from(">H", head, at + 2)[0]


def _of_webp(head: bytes) -> tuple[int, int]:
    match head[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        case b"VP8L":
            bits = struct.unpack_from("<I", head, 21)[0]
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
    raise IndexError(12)
