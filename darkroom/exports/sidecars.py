"""Marks that lie beside pictures which are delivered as they came: they go home with them."""

import asyncio
from collections.abc import Sequence
from pathlib import PurePosixPath

from darkroom.domain.names import sidecar_key
from darkroom.exports.choosing import Chosen
from darkroom.storage import Storage

AT_ONCE = 16


def sidecars(pictures: Sequence[Chosen]) -> dict[str, str]:
    """By the name of its file, where the mark beside each of these pictures lies."""
    keys = {one.name: sidecar_key(one.picture.path) for one in pictures}
    return {str(PurePosixPath(name).with_suffix(".xmp")): key for name, key in keys.items() if key is not None}


async def read_sidecars(storage: Storage, pictures: Sequence[Chosen]) -> tuple[dict[str, bytes], list[str]]:
    """The marks by name, a few KB each, and the names of those whose files are gone."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def read(key: str) -> bytes | None:
        async with gate:
            return await storage.get(key)

    keys = sidecars(pictures)
    marks = dict(zip(keys, await asyncio.gather(*map(read, keys.values())), strict=True))
    return {name: data for name, data in marks.items() if data is not None}, [
        name for name, data in marks.items() if data is None
    ]
