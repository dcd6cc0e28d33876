"""Small pictures for pages: kept by the upload, else made when somebody looks; in memory as far as they fit."""

import asyncio
from collections import OrderedDict
from contextlib import suppress

from darkroom.domain.errors import StorageRefused
from darkroom.domain.names import thumbnail_key
from darkroom.pictures import PictureWork
from darkroom.storage import Storage

KEPT = 32 * 1024 * 1024
"""Bytes."""


class Thumbnails:
    """Reads or makes each thumbnail once, however many ask for it together."""

    def __init__(self, storage: Storage, pictures: PictureWork, kept: int = KEPT) -> None:
        self._storage = storage
        self._pictures = pictures
        self._kept = kept
        self._size = 0
        self._made: OrderedDict[str, bytes] = OrderedDict()
        self._making: dict[str, asyncio.Task[bytes | None]] = {}

    async def get(self, path: str) -> bytes | None:
        """The thumbnail of a stored picture as WebP; None when its file is not there."""
        made = self._made.get(path)
        if made is not None:
            self._made.move_to_end(path)
            return made
        making = self._making.get(path)
        if making is None:
            making = self._making[path] = asyncio.create_task(self._make(path))
            making.add_done_callback(lambda _: self._making.pop(path, None))
        # One who goes away must not take it from the others.
        return await asyncio.shield(making)

    async def _make(self, path: str) -> bytes | None:
        small = await self._small(path)
        if small is None:
            return None
        self._made[path] = small
        self._size += len(small)
        while self._size > self._kept:
            _, dropped = self._made.popitem(last=False)
            self._size -= len(dropped)
        return small

    async def _small(self, path: str) -> bytes | None:
        kept = thumbnail_key(path)
        with suppress(StorageRefused):
            small = None if kept is None else await self._storage.get(kept)
            if small is not None:
                return small
        # An upload, or a picture that was delivered before thumbnails were kept.
        data = await self._storage.get(path)
        return None if data is None else await self._pictures.thumbnail(data)
