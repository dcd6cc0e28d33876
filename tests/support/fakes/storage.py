"""Storages that do not take what they are given."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from uuid import UUID

from darkroom.domain.errors import StorageRefused, StorageUnavailable
from darkroom.storage.files import FileStorage


class RefusingSome(FileStorage):
    """Takes no staged bytes of one job, as a bucket with a limit of size does."""

    refused: UUID | None = None

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        if self.refused is not None and key.startswith(f"staging/{self.refused}/"):
            raise StorageRefused(f"object {key!r} is too large; raise the limit of the bucket")
        await super().put(key, data, media_type)


class Unusable(FileStorage):
    """A folder of a worker that nobody may enter."""

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        raise StorageRefused("permission denied")

    async def get(self, key: str) -> bytes | None:
        raise StorageRefused("permission denied")

    async def delete(self, keys: Sequence[str]) -> None:
        raise StorageRefused("permission denied")

    async def keys(self, prefix: str) -> Sequence[str]:
        raise StorageRefused("permission denied")


class Away(FileStorage):
    """Takes nothing, or nothing of some names."""

    def __init__(self, root: Path, *, only: str = "") -> None:
        super().__init__(root)
        self.away = True
        self.tries: list[str] = []
        self._only = only

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        self.tries.append(key)
        if self.away and self._only in key:
            raise StorageUnavailable("no answer")
        await super().put(key, data, media_type)


class NotAtFirst(FileStorage):
    """Does not take the first object whose name begins so."""

    def __init__(self, root: Path, beginning: str) -> None:
        super().__init__(root)
        self._beginning: str | None = beginning

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        if self._beginning is not None and PurePosixPath(key).name.startswith(self._beginning):
            self._beginning = None
            raise StorageUnavailable("no answer")
        await super().put(key, data, media_type)
