"""The bytes of a zip file around the files in it, whose sizes are known before they are read.

Files are stored as they are. A file's CRC-32 stands behind it (bit 3), so that its header needs no look at it.
"""

import struct
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime

from darkroom.domain.model import Value

EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
LATEST = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
"""What a zip can tell; rows of before Darkroom may have no time at all."""

DESCRIPTOR = 16
"""Bytes behind each file."""

_SIZE_IN_DIRECTORY = 46
_SIZE_OF_EXTRA = 12
_FLAGS = 0x0808
"""The CRC stands behind the data; names are UTF-8."""
_PLAIN, _ZIP64 = 20, 45
_UNIX = 3 << 8
_MODE = 0o100644 << 16
_MOST_32, _MOST_16 = 0xFFFFFFFF, 0xFFFF


class Entry(Value):
    """A file in the archive."""

    name: str
    size: int
    moment: datetime


def crc_of(data: bytes) -> int:
    """The CRC-32 of a file."""
    return zlib.crc32(data)


def local_header(entry: Entry) -> bytes:
    """What stands before a file."""
    name = entry.name.encode()
    head = struct.pack("<4s5H3I2H", b"PK\3\4", _PLAIN, _FLAGS, 0, *_moment(entry), 0, 0, 0, len(name), 0)
    return head + name


def descriptor(entry: Entry, crc: int) -> bytes:
    """What stands behind a file."""
    return struct.pack("<4s3I", b"PK\7\x08", crc, entry.size, entry.size)


def offsets(entries: Sequence[Entry]) -> list[int]:
    """Where each file's header begins; the last number is where the directory begins."""
    found = [0]
    for entry in entries:
        found.append(found[-1] + 30 + len(entry.name.encode()) + entry.size + DESCRIPTOR)
    return found


def directory_size(entries: Sequence[Entry], starts: Sequence[int]) -> int:
    """How long the directory and the end of the archive are."""
    size = sum(
        _SIZE_IN_DIRECTORY + len(entry.name.encode()) + (_SIZE_OF_EXTRA if start >= _MOST_32 else 0)
        for entry, start in zip(entries, starts, strict=False)
    )
    return size + (56 + 20 if _is_large(len(entries), starts[-1], size) else 0) + 22


def directory(entries: Sequence[Entry], starts: Sequence[int], crcs: Sequence[int]) -> bytes:
    """The directory and the end of the archive."""
    listed = b"".join(map(_listed, entries, starts, crcs))
    count, at, size = len(entries), starts[-1], len(listed)
    end = b""
    if _is_large(count, at, size):
        end += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, _UNIX | _ZIP64, _ZIP64, 0, 0, count, count, size, at)
        end += struct.pack("<4sIQI", b"PK\6\7", 0, at + size, 1)
    few = min(count, _MOST_16)
    end += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, few, few, min(size, _MOST_32), min(at, _MOST_32), 0)
    return listed + end


def _is_large(count: int, at: int, size: int) -> bool:
    return count >= _MOST_16 or at >= _MOST_32 or size >= _MOST_32


def _listed(entry: Entry, start: int, crc: int) -> bytes:
    name = entry.name.encode()
    far = start >= _MOST_32
    extra = struct.pack("<2HQ", 1, 8, start) if far else b""
    needs = _ZIP64 if far else _PLAIN
    head = struct.pack(
        "<4s6H3I5H2I",
        b"PK\1\2",
        _UNIX | needs,
        needs,
        _FLAGS,
        0,
        *_moment(entry),
        crc,
        entry.size,
        entry.size,
        len(name),
        len(extra),
        0,
        0,
        0,
        _MODE,
        min(start, _MOST_32),
    )
    return head + name + extra


def _moment(entry: Entry) -> tuple[int, int]:
    at = min(max(entry.moment.astimezone(UTC), EARLIEST), LATEST)
    return at.hour << 11 | at.minute << 5 | at.second // 2, (at.year - 1980) << 9 | at.month << 5 | at.day
