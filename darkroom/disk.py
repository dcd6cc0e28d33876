"""A disk that is full, in one plain sentence, wherever it is met."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOM_NEEDED = 32 * 1024 * 1024
"""Bytes. With less, the next pictures (at most 20 MB each) cannot be kept: the disk counts as full."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says of a disk that is full, or of a user's share of it."""


def full_disk(place: Path | str, free: int | None = None) -> str:
    """The sentence.

    Args:
        place: a file or folder on the disk.
        free: bytes that are left; None where they are not known.
    """
    left = "nothing more can be written" if free is None else f"{free / 1_000_000:,.0f} MB are left"
    return f"The disk that holds {place} is full: {left}; make room on it, and work continues by itself"


def free_bytes(folder: Path) -> int:
    """What is left on the disk of a folder, which need not exist yet."""
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    return shutil.disk_usage(there).free


def lack_of_room(folder: Path) -> str | None:
    """The sentence when the disk of a folder is full; None while it has room, and where nobody can tell."""
    try:
        free = free_bytes(folder)
    except OSError:
        return None
    return full_disk(folder, free) if free < ROOM_NEEDED else None


@contextmanager
def without_new_folders(home: Path) -> Iterator[None]:
    """A home that was not there, and the folders above it, are gone afterwards, unless something is in them."""
    made = [folder for folder in (home, *home.parents) if not folder.exists()]
    try:
        yield
    finally:
        inside = sorted(home.rglob("*"), reverse=True) if made else ()
        for folder in (*inside, *made):
            with suppress(OSError):
                folder.rmdir()
