"""Where pictures are taken to: a folder, or a bucket (`buckets.py`). Nothing that is there is ever overwritten."""

import asyncio
import errno
import json
import os
from pathlib import Path
from typing import Protocol
from uuid import UUID

from darkroom.domain.errors import ExportRejected
from darkroom.domain.file_names import MANIFEST_JSON
from darkroom.pictures import digest


class Target(Protocol):
    """A place for files.

    Methods raise `ExportRejected` for a place that cannot be used, and for a file of that name that is another one.
    """

    async def open(self, job_id: UUID) -> None:
        """Make sure that files of a job can be written; the manifest of another job is no place for them."""
        ...

    async def holds(self, name: str, size: int, sha256: str) -> bool:
        """Whether this file is there already."""
        ...

    async def write(self, name: str, data: bytes, sha256: str) -> None:
        """Write a file that is not there, whole or not at all."""
        ...

    async def replace(self, name: str, data: bytes) -> None:
        """Write a manifest, over an earlier one."""
        ...


class Folder:
    """A folder of this machine. Links in it are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def open(self, job_id: UUID) -> None:
        await asyncio.to_thread(self._open, job_id)

    async def holds(self, name: str, size: int, sha256: str) -> bool:  # noqa: ARG002 - read in any case
        return await asyncio.to_thread(self._holds, self._root / name, sha256)

    async def write(self, name: str, data: bytes, sha256: str) -> None:
        if not await self.holds(name, len(data), sha256):
            await self.replace(name, data)

    async def replace(self, name: str, data: bytes) -> None:
        await asyncio.to_thread(self._write, self._root / name, data)

    def _open(self, job_id: UUID) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            ensure_ours(self._read(self._root / MANIFEST_JSON), job_id, "DIR", str(self._root))
        except OSError as error:
            raise self._unwritable(error) from None

    def _holds(self, path: Path, sha256: str) -> bool:
        present = self._read(path)
        if present is not None and digest(present) != sha256:
            raise ExportRejected("DIR", f"{path} already exists and is a different picture; give an empty folder")
        return present is not None

    def _read(self, path: Path) -> bytes | None:
        for folder in path.parents:
            if folder == self._root:
                break
            if folder.is_symlink():
                raise ExportRejected("DIR", f"{folder} is a link, and links are not followed; remove it")
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ExportRejected("DIR", f"{path} is a link, and links are not followed; remove it") from None
            raise self._unwritable(error) from None

    def _write(self, path: Path, data: bytes) -> None:
        """Whole or not at all; whatever lies under its names before, nothing outside the folder changes."""
        temporary = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
                file.write(data)
            temporary.replace(path)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> ExportRejected:
        return ExportRejected("DIR", f"{self._root} cannot be written: {error.strerror or error}")


def ensure_ours(manifest: bytes | None, job_id: UUID, field: str, place: str) -> None:
    """Leave alone what is not ours.

    Raises:
        ExportRejected: the manifest there is not of this job.
    """
    if manifest is None:
        return
    try:
        ours = json.loads(manifest)["job_id"] == str(job_id)
    except (ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise ExportRejected(field, f"{place} has a {MANIFEST_JSON} that is not of this job; give another place")
