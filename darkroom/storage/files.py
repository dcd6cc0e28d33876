"""Storage in a folder: atomic writes, and keys that cannot leave it."""

import asyncio
import errno
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from darkroom.disk import FULL, full_disk
from darkroom.domain.errors import StorageRefused, StorageUnavailable
from darkroom.storage.file_groups import Call, FileGroups, sync_folder
from darkroom.storage.keys import checked_key

if sys.platform != "win32":
    import fcntl

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

SMALL = 128 * 1024
"""Bytes up to which a file is written with others: a visit to a thread costs more than its bytes."""

RACES = 50
"""How often in a row a folder may vanish between making it and writing to it; more is no coincidence."""


class FileStorage:
    """Keeps each object as a file below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._small = FileGroups()

    def path(self, key: str) -> Path:
        """Where an object's file lies.

        Raises:
            StorageRefused: the key is not one of ours, or would leave the folder.
        """
        return self._root / checked_key(key)

    async def put(self, key: str, data: bytes, media_type: str) -> None:  # noqa: ARG002 - a file has no media type
        path = self.path(key)
        with self._faults(key):
            if len(data) > SMALL:
                await asyncio.to_thread(self._write_and_sync, path, data)
            else:
                await self._small.run(Call(partial(self._write, path, data), path.parent))

    async def get(self, key: str) -> bytes | None:
        path = self.path(key)
        with self._faults(key):
            try:
                return await self._small.run(Call(partial(_read_small, path)))
            except _IsLarge:
                return await asyncio.to_thread(_read, path)

    async def exists(self, key: str) -> bool:
        path = self.path(key)
        with self._faults(key):
            return await asyncio.to_thread(path.is_file)

    async def delete(self, keys: Sequence[str]) -> None:
        paths = [self.path(key) for key in keys]
        if paths:
            with self._faults(keys[0]):
                await asyncio.to_thread(self._remove, paths)

    async def keys(self, prefix: str) -> Sequence[str]:
        folder = self.path(prefix.rstrip("/"))
        with self._faults(prefix):
            return await asyncio.to_thread(self._list, folder)

    async def url(self, key: str, lifetime: timedelta) -> str | None:  # noqa: ARG002 - a folder has no addresses
        self.path(key)
        return None

    async def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def _faults(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise StorageUnavailable(full_disk(self._root)) from error
            message = f"file of {key!r} in {self._root}: {error.strerror or error}"
            if error.errno in _FINAL:
                raise StorageRefused(f"{message}; check the folder's permissions") from error
            raise StorageUnavailable(f"{message}; workers retry until it succeeds") from error

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        """Write a file whose folder is still to be synced."""
        for _ in range(RACES):
            with suppress(FileNotFoundError):  # whoever deletes the last object of a folder removes it, at any moment
                _write_part(path, data)
                return
            with suppress(FileNotFoundError, FileExistsError):  # the same; where a file lies, the next try says so
                path.parent.mkdir(parents=True, exist_ok=True)
        raise FileNotFoundError(errno.ENOENT, "the folder keeps being removed")

    def _write_and_sync(self, path: Path, data: bytes) -> None:
        self._write(path, data)
        sync_folder(path.parent)

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


def _write_part(path: Path, data: bytes) -> None:
    """Write a file under a name of its own, which becomes the final one when it is complete.

    Raises:
        FileNotFoundError: its folder is not there, or a look at the folder took the new file for an abandoned one.
    """
    # Few calls: each hands over the interpreter's lock, and waits to get it back.
    handle, temporary = tempfile.mkstemp(prefix=_PART, dir=path.parent)
    try:
        try:
            _lock(handle)
            _write_all(handle, data)
            os.fsync(handle)
            Path(temporary).replace(path)
        finally:
            os.close(handle)  # with its lock, which it needs until it has its final name
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _lock(handle: int) -> None:
    """Lock a new part; the system unlocks it when its process ends."""
    if sys.platform != "win32":
        fcntl.flock(handle, fcntl.LOCK_EX)


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


class _IsLarge(Exception):
    """A file that others would wait for."""


def _read_small(path: Path) -> bytes | None:
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > SMALL:
                raise _IsLarge
            data = file.read(size)
            # What is read in one go need not be all: after a bad sector, only the next one says so.
            return data if len(data) == size else data + file.readall()
    except FileNotFoundError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
