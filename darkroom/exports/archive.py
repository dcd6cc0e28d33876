"""Pictures as one zip of a known length: any part of it is made without reading more than the pictures in that part.

The same choice of an ended job gives the same bytes each time, so that a download that broke off goes on.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256

from darkroom.domain.errors import FileMissing
from darkroom.domain.names import image_prefix
from darkroom.exports import zip_layout
from darkroom.exports.checksums import Checksums
from darkroom.exports.choosing import Chosen, Export
from darkroom.exports.manifest import manifest_files
from darkroom.exports.sidecars import read_sidecars
from darkroom.exports.zip_layout import EARLIEST, Entry
from darkroom.storage import Storage

LAYOUT = "1"
"""Changed whenever the same pictures give other bytes."""

AT_ONCE = 16


class Archive:
    """The zip of what was chosen. It holds no picture but the one that is being sent.

    Args:
        storage: where the pictures lie.
        checksums: of the job.
        pictures: those whose files are there; their sizes and SHA-256 are those of the files.
        beside: further files, by name.
    """

    def __init__(
        self, storage: Storage, checksums: Checksums, pictures: Sequence[Chosen], beside: dict[str, bytes]
    ) -> None:
        self._storage = storage
        self._checksums = checksums
        self._pictures = pictures
        self._beside = list(beside.values())
        last = max((one.picture.delivered_at for one in pictures), default=EARLIEST)
        self._entries = [
            *(Entry(name=one.name, size=one.picture.size, moment=one.picture.delivered_at) for one in pictures),
            *(Entry(name=name, size=len(data), moment=last) for name, data in beside.items()),
        ]
        self._starts = zip_layout.offsets(self._entries)
        self.size = self._starts[-1] + zip_layout.directory_size(self._entries, self._starts)

    @property
    def etag(self) -> str:
        """The same exactly for the same bytes; without quotes."""
        told = sha256(LAYOUT.encode())
        contents = [one.picture.sha256 or "" for one in self._pictures]
        contents += [sha256(data).hexdigest() for data in self._beside]
        for entry, content in zip(self._entries, contents, strict=True):
            told.update(f"{entry.model_dump_json()} {content}\n".encode())
        return told.hexdigest()[:32]

    async def read(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from one to before another, in parts.

        Raises:
            FileMissing: a picture's file vanished or changed since the archive was begun.
        """
        stop = self.size if stop is None else min(stop, self.size)
        for index in range(max(0, bisect_right(self._starts, start) - 1), len(self._entries)):
            at = self._starts[index]
            if at >= stop:
                break
            async for part in self._entry(index, start - at, stop - at):
                yield part
        if stop > self._starts[-1]:
            crcs = [await self._crc(index) for index in range(len(self._entries))]
            await self._checksums.save()
            at = self._starts[-1]
            yield zip_layout.directory(self._entries, self._starts, crcs)[max(0, start - at) : stop - at]

    async def _entry(self, index: int, start: int, stop: int) -> AsyncIterator[bytes]:
        """A header, a file and what stands behind it, as far as they lie within this; negative is before the header."""
        entry = self._entries[index]
        head = zip_layout.local_header(entry)
        if part := _within(head, start, stop):
            yield part
        if max(start, len(head)) < min(stop, len(head) + entry.size):
            data = await self._data(index)
            yield _within(data, start - len(head), stop - len(head))
        behind = len(head) + entry.size
        if stop > behind and start < behind + zip_layout.DESCRIPTOR:
            tail = zip_layout.descriptor(entry, await self._crc(index))
            yield _within(tail, start - behind, stop - behind)

    async def _data(self, index: int) -> bytes:
        if index >= len(self._pictures):
            return self._beside[index - len(self._pictures)]
        picture = self._pictures[index].picture
        data = await self._storage.get(picture.path)
        if data is None:
            raise FileMissing(f"the file of picture {picture.attach_id} vanished: {picture.path}")
        found = await self._checksums.learn(picture, data)
        if (found.size, found.sha256) != (picture.size, picture.sha256):
            # The next archive has it as it is.
            await self._checksums.save()
            raise FileMissing(f"the file of picture {picture.attach_id} is not the one that was stored: {picture.path}")
        return data

    async def _crc(self, index: int) -> int:
        if index >= len(self._pictures):
            return zip_layout.crc_of(self._beside[index - len(self._pictures)])
        picture = self._pictures[index].picture
        known = self._checksums.of(picture)
        return (known or await self._checksums.learn(picture, await self._data(index))).crc32


def _within(data: bytes, start: int, stop: int) -> bytes:
    return data[max(0, start) : max(0, stop)]


async def archive_of(export: Export, storage: Storage) -> Archive:
    """The archive of an export.

    A picture whose file is missing is named in `missing.txt`, so that nobody takes the archive for complete. Pictures
    of jobs that are older than Darkroom are read once before, because their records may not tell what they are.
    """
    checksums = await Checksums.kept(storage, export.job_id, export.user_id)
    missing = await missing_of(export, storage)
    gone = {one.picture.attach_id for one in missing}
    there = [one for one in export.pictures if one.picture.attach_id not in gone]
    sure = [await _measured(one, checksums, storage) for one in there]
    await checksums.save()
    measured = {one.picture.attach_id: one for one in sure}
    pictures = tuple(measured.get(one.picture.attach_id, one) for one in export.pictures)
    marks, lost = await read_sidecars(storage, sure)
    files = manifest_files(export.model_copy(update={"pictures": pictures}), missing, lost)
    return Archive(storage, checksums, sure, marks | files)


async def missing_of(export: Export, storage: Storage) -> list[Chosen]:
    """The pictures whose files are not in the storage."""
    there = set(await storage.keys(image_prefix(export.job_id, export.user_id))) if export.pictures else set()
    doubtful = [one for one in export.pictures if one.picture.path not in there]
    gate = asyncio.Semaphore(AT_ONCE)

    async def is_gone(one: Chosen) -> bool:
        async with gate:
            return not await storage.exists(one.picture.path)

    gone = await asyncio.gather(*map(is_gone, doubtful))
    return [one for one, lost in zip(doubtful, gone, strict=True) if lost]


async def _measured(one: Chosen, checksums: Checksums, storage: Storage) -> Chosen:
    """The picture with the size and the SHA-256 of its file: as it was last read, or else as the records have them."""
    picture = one.picture
    known = checksums.of(picture)
    if known is None:
        if picture.sha256 is not None and picture.size > 0:
            return one
        data = await storage.get(picture.path)
        if data is None:
            raise FileMissing(f"the file of picture {picture.attach_id} vanished: {picture.path}")
        known = await checksums.learn(picture, data)
    sure = picture.model_copy(update={"size": known.size, "sha256": known.sha256})
    return one.model_copy(update={"picture": sure})
