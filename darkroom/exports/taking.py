"""Copying what was chosen to where users want it; begun again, it goes on where it was."""

import asyncio
from collections.abc import Sequence

from darkroom.domain.file_names import MISSING
from darkroom.domain.model import Value
from darkroom.exports.archive import missing_of
from darkroom.exports.choosing import Chosen, Export
from darkroom.exports.manifest import manifest_files
from darkroom.exports.sidecars import sidecars
from darkroom.exports.targets import Target
from darkroom.pictures import digest_of
from darkroom.storage import Storage

AT_ONCE = 16
"""Files checked or fetched at the same time."""


class Taken(Value):
    """What was copied."""

    written: int = 0
    skipped: int = 0
    """Identical files that existed already."""
    missing: tuple[str, ...] = ()
    """Delivered pictures whose file is missing from the storage."""


async def take(export: Export, storage: Storage, target: Target) -> Taken:
    """Copy the pictures and their manifest. Nothing is written unless every name is free, or has its picture.

    Raises:
        ExportRejected: the target cannot be used, or has other files of these names.
    """
    await target.open(export.job_id)
    missing = await missing_of(export, storage)
    gone = {one.picture.attach_id for one in missing}
    there = [one for one in export.pictures if one.picture.attach_id not in gone]
    gate = asyncio.Semaphore(AT_ONCE)

    async def held(one: Chosen) -> bool:
        async with gate:
            size, sha256 = one.picture.size, one.picture.sha256
            if sha256 is None:  # of before Darkroom: only the file tells
                data = await storage.get(one.picture.path) or b""
                size, sha256 = len(data), await digest_of(data)
            return await target.holds(one.name, size, sha256)

    async def copy(one: Chosen) -> bool:
        async with gate:
            data = await storage.get(one.picture.path)
            if data is None:
                return False
            await target.write(one.name, data, await digest_of(data))
            return True

    held_already = await asyncio.gather(*map(held, there))
    wanted = [one for one, is_held in zip(there, held_already, strict=True) if not is_held]
    # The first one alone: where it may not be written, nothing is.
    copied = [await copy(one) for one in wanted[:1]]
    copied += await asyncio.gather(*map(copy, wanted[1:]))
    missing += [one for one, is_copied in zip(wanted, copied, strict=True) if not is_copied]
    lost = await _take_sidecars(there, storage, target, gate)
    for name, data in manifest_files(export, missing, list(lost)).items():
        if name != MISSING:
            await target.replace(name, data)
    return Taken(
        written=copied.count(True),
        skipped=len(there) - len(wanted),
        missing=(*(one.picture.path for one in missing), *lost.values()),
    )


async def _take_sidecars(
    pictures: Sequence[Chosen], storage: Storage, target: Target, gate: asyncio.Semaphore
) -> dict[str, str]:
    """Copy the marks beside pictures; by name, where those lay that are gone."""

    async def copy(name: str, key: str) -> bool:
        async with gate:
            data = await storage.get(key)
            if data is not None and not await target.holds(name, len(data), sha256 := await digest_of(data)):
                await target.write(name, data, sha256)
            return data is not None

    keys = sidecars(pictures)
    copied = await asyncio.gather(*(copy(name, key) for name, key in keys.items()))
    return {name: key for (name, key), there in zip(keys.items(), copied, strict=True) if not there}
