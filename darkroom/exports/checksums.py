"""The CRC-32 of pictures, which archives need: computed when a picture is first read for one, and kept.

They lie in the storage beside a job's pictures. Whatever removes them takes nothing but the time to compute them anew.
"""

from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from darkroom.domain.model import Value
from darkroom.domain.names import image_prefix
from darkroom.domain.snapshots import Picture
from darkroom.exports.zip_layout import crc_of
from darkroom.pictures import digest_of
from darkroom.storage import Storage

SAVED_AFTER = 256 * 1024**2
"""Bytes read since checksums were last kept: an archive that breaks off later costs no more than these again."""


class Checksum(Value):
    """What the bytes of one file are."""

    path: str
    size: int
    sha256: str
    crc32: int


_KEPT = TypeAdapter(dict[int, Checksum])


class Checksums:
    """The checksums of a job's pictures that are known."""

    def __init__(self, storage: Storage, key: str, known: dict[int, Checksum]) -> None:
        self._storage = storage
        self._key = key
        self._known = known
        self._unsaved = 0

    @classmethod
    async def kept(cls, storage: Storage, job_id: UUID, user_id: UUID | None) -> "Checksums":
        """What is known already; what cannot be read is computed again."""
        key = f"{image_prefix(job_id, user_id)}checksums.json"
        data = await storage.get(key)
        try:
            known = {} if data is None else _KEPT.validate_json(data)
        except ValidationError:
            known = {}
        return cls(storage, key, known)

    def of(self, picture: Picture) -> Checksum | None:
        """The checksum of a picture's file as it was last read; None when it never was."""
        known = self._known.get(picture.attach_id)
        return known if known is not None and known.path == picture.path else None

    async def learn(self, picture: Picture, data: bytes) -> Checksum:
        """The checksum of bytes just read; kept by the next `save`."""
        found = Checksum(path=picture.path, size=len(data), sha256=await digest_of(data), crc32=crc_of(data))
        if self.of(picture) != found:
            self._known[picture.attach_id] = found
            self._unsaved += len(data)
        if self._unsaved >= SAVED_AFTER:
            await self.save()
        return found

    async def save(self) -> None:
        """Keep what was learned."""
        if self._unsaved:
            self._unsaved = 0
            await self._storage.put(self._key, _KEPT.dump_json(self._known), "application/json")
