"""Small pictures for pages: made when somebody looks, kept in memory as far as they fit."""

import asyncio
from collections import OrderedDict

from darkroom.pictures import PictureWork
from darkroom.storage import Storage

HEIGHT = 192
"""Pixels: frames are 96 high, and screens have two pixels for each."""
KEPT = 32 * 1024 * 1024
"""Bytes."""


class Thumbnails:
    """Makes each thumbnail once, however many ask for it together."""

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
        data = await self._storage.get(path)
        if data is None:
            return None
        small = await self._pictures.thumbnail(data, HEIGHT)
        self._made[path] = small
        self._size += len(small)
        while self._size > self._kept:
            _, dropped = self._made.popitem(last=False)
            self._size -= len(dropped)
        return small
