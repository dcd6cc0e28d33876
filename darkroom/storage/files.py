"""Storage in a folder: atomic writes, and keys that cannot leave it."""

import asyncio
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from darkroom.disk import FULL, full_disk
from darkroom.domain.errors import StorageRefused, StorageUnavailable
from darkroom.storage.keys import checked_key

if sys.platform != "win32":
    import fcntl

T = TypeVar("T")

_FINAL = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.EFBIG,
    errno.ENOTDIR,
    errno.EISDIR,
}

_PART = ".part-"
"""How the names of files begin that are being written."""

RACES = 50
"""How often in a row a folder may vanish between making it and writing to it; more is no coincidence."""


class FileStorage:
    """Keeps each object as a file below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, key: str) -> Path:
        """Where an object's file lies.

        Raises:
            StorageRefused: the key is not one of ours, or would leave the folder.
        """
        return self._root / checked_key(key)

    async def put(self, key: str, data: bytes, media_type: str) -> None:  # noqa: ARG002 - a file has no media type
        await self._off_loop(key, self._write, self.path(key), data)

    async def get(self, key: str) -> bytes | None:
        return await self._off_loop(key, _read, self.path(key))

    async def exists(self, key: str) -> bool:
        return await self._off_loop(key, self.path(key).is_file)

    async def delete(self, keys: Sequence[str]) -> None:
        paths = [self.path(key) for key in keys]
        if paths:
            await self._off_loop(keys[0], self._remove, paths)

    async def keys(self, prefix: str) -> Sequence[str]:
        return await self._off_loop(prefix, self._list, self.path(prefix.rstrip("/")))

    async def url(self, key: str, lifetime: timedelta) -> str | None:  # noqa: ARG002 - a folder has no addresses
        self.path(key)
        return None

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _off_loop(self, key: str, work: Callable[..., T], *args: object) -> T:
        try:
            return await asyncio.to_thread(work, *args)
        except OSError as error:
            if error.errno in FULL:
                raise StorageUnavailable(full_disk(self._root)) from error
            message = f"file of {key!r} in {self._root}: {error.strerror or error}"
            if error.errno in _FINAL:
                raise StorageRefused(f"{message}; check the folder's permissions") from error
            raise StorageUnavailable(f"{message}; workers retry until it succeeds") from error

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        # Few calls: each hands over the interpreter's lock, and waits to get it back.
        handle, temporary = _part_in(path.parent)
        try:
            try:
                _write_all(handle, data)
                os.fsync(handle)
                Path(temporary).replace(path)
            finally:
                os.close(handle)  # with its lock, which it needs until it has its final name
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        # The rename itself must survive a power cut too: an attachment is about to point at it.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _remove(self, paths: list[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths} - {self._root}:
            try:
                folder.rmdir()
            except OSError as error:  # something lies there, or another process removed the folder
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise

    def _list(self, folder: Path) -> list[str]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        parts = [path for path in files if path.name.startswith(_PART)]
        self._remove_abandoned(parts)
        return sorted(str(path.relative_to(self._root).as_posix()) for path in files if path not in parts)

    def _remove_abandoned(self, parts: list[Path]) -> None:
        """Remove what processes that were killed had begun to write; nobody else ever would."""
        for part in parts:
            with suppress(OSError):  # finished just now, or a folder that is read-only
                _remove_unless_locked(part)
                self._remove([part])


def _part_in(folder: Path) -> tuple[int, str]:
    """A new file in a folder, which whoever deletes the last object there removes at any moment."""
    for _ in range(RACES):
        with suppress(FileNotFoundError):  # not there yet, or removed just now
            handle, temporary = tempfile.mkstemp(prefix=_PART, dir=folder)
            if _locked(handle):
                return handle, temporary
            os.close(handle)
        with suppress(FileNotFoundError, FileExistsError):  # the same; where a file lies, the next try says so
            folder.mkdir(parents=True, exist_ok=True)
    raise FileNotFoundError(errno.ENOENT, "the folder keeps being removed")


def _locked(handle: int) -> bool:
    """Lock a new part, which the system unlocks when its process ends; False if it was taken for abandoned before."""
    if sys.platform == "win32":
        return True
    fcntl.flock(handle, fcntl.LOCK_EX)
    return os.fstat(handle).st_nlink > 0


def _write_all(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _remove_unless_locked(part: Path) -> None:
    if sys.platform == "win32":
        return
    with part.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
