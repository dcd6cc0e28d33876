"""Storage in a folder: atomic writes, and keys that cannot leave it."""

import asyncio
import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from darkroom.disk import FULL, full_disk
from darkroom.domain.errors import StorageRefused, StorageUnavailable
from darkroom.storage.keys import checked_key

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
        handle, temporary = _part_in(path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
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
        return sorted(
            str(path.relative_to(self._root).as_posix())
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(".part-")
        )


def _part_in(folder: Path) -> tuple[int, str]:
    """A new file in a folder, which whoever deletes the last object there removes at any moment."""
    for _ in range(RACES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return tempfile.mkstemp(prefix=".part-", dir=folder)
        except (FileNotFoundError, FileExistsError):  # removed just now, or never a folder
            if folder.is_file():
                raise
    raise FileNotFoundError(errno.ENOENT, "the folder keeps being removed")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
