"""Storage in a folder: atomic writes, and keys that cannot leave it."""

import asyncio
import errno
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from darkroom.domain.errors import StorageRefused, StorageUnavailable

T = TypeVar("T")

_KEY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_FINAL = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.EFBIG,
    errno.ENOTDIR,
    errno.EISDIR,
}


class FileStorage:
    """Keeps each object as a file below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, key: str) -> Path:
        """Where an object's file lies.

        Raises:
            StorageRefused: the key is not one of ours, or would leave the folder.
        """
        if not _KEY.fullmatch(key) or any(part in (".", "..") for part in key.split("/")):
            raise StorageRefused(f"key {key!r} is not allowed: use letters, digits, '/', '_', '.' and '-'")
        return self._root / key

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

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _off_loop(self, key: str, work: Callable[..., T], *args: object) -> T:
        try:
            return await asyncio.to_thread(work, *args)
        except OSError as error:
            message = f"file of {key!r} in {self._root}: {error.strerror or error}"
            if error.errno in _FINAL:
                raise StorageRefused(f"{message}; check the folder's permissions") from error
            raise StorageUnavailable(f"{message}; tried again until it works") from error

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".part-", dir=path.parent)
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
        for folder in {path.parent for path in paths}:
            if folder != self._root and folder.is_dir() and not any(folder.iterdir()):
                try:
                    folder.rmdir()
                except OSError as error:  # another process put a file there meanwhile
                    if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                        raise

    def _list(self, folder: Path) -> list[str]:
        return sorted(
            str(path.relative_to(self._root).as_posix())
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(".part-")
        )


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
