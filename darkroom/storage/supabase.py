"""Storage in a private Supabase bucket, which is created with the first object."""

import io
import math
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter
from storage3.exceptions import StorageApiError
from storage3.types import FileOptions

from darkroom.domain.errors import StorageUnavailable
from darkroom.storage.keys import checked_key
from darkroom.storage.supabase_errors import AlreadyThere, NoBucket, NoObject, translated
from darkroom.supabase import Supabase, described

T = TypeVar("T")

PAGE = 1000
"""Entries of a folder in one call; the server's own default is 100."""

BATCH = 500
"""Objects removed in one call; hosted servers take 1,000 at most."""


class _Entry(BaseModel):
    """A line of a folder's list: an object, or without an id a folder in it."""

    name: str
    id: str | None


_ENTRIES = TypeAdapter(list[_Entry])


class SupabaseStorage:
    """Keeps each object in one bucket, with the rights of the service role.

    A time-out does not undo what the server was doing: a `put` that is tried again writes the same once more.
    The client's 10 s are for each 64 KB sent and then for the answer. The system keeps up to 4 MB of what was sent,
    so that a line of 0.4 MB/s carries an object of any size, and a slower one may not.
    """

    def __init__(self, supabase: Supabase, bucket: str) -> None:
        self._supabase = supabase
        self._bucket = bucket
        self._objects = supabase.client.storage.from_(bucket)

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        checked_key(key)
        try:
            await self._upload(key, data, media_type)
        except NoBucket:
            await self.ensure_bucket()
            await self._upload(key, data, media_type)

    async def get(self, key: str) -> bytes | None:
        try:
            return await self._call(f"object {checked_key(key)!r}", self._objects.download(key))
        except NoObject:
            return None
        except NoBucket:
            await self._confirm_there_is_no_bucket()
            return None

    async def exists(self, key: str) -> bool:
        # Not the client's `exists`: that takes any page of HTML with status 404 for a missing object.
        try:
            await self._call(f"object {checked_key(key)!r}", self._objects.info(key))
        except NoObject:
            return False
        except NoBucket:
            await self._confirm_there_is_no_bucket()
            return False
        return True

    async def delete(self, keys: Sequence[str]) -> None:
        checked = [checked_key(key) for key in keys]
        for start in range(0, len(checked), BATCH):
            batch = checked[start : start + BATCH]
            try:
                await self._call(f"object {batch[0]!r} and {len(batch) - 1} more", self._objects.remove(batch))
            except NoBucket:
                await self._confirm_there_is_no_bucket()
                return

    async def keys(self, prefix: str) -> Sequence[str]:
        found: set[str] = set()
        folders = [checked_key(prefix.rstrip("/"))]
        while folders:
            folder = folders.pop()
            for entry in await self._entries(folder):
                path = f"{folder}/{entry.name}"
                if entry.id is None:
                    folders.append(path)
                else:
                    found.add(path)
        return sorted(found)

    async def url(self, key: str, lifetime: timedelta) -> str | None:
        seconds = max(1, math.ceil(lifetime.total_seconds()))
        try:
            signed = await self._call(f"object {checked_key(key)!r}", self._objects.create_signed_url(key, seconds))
        except NoObject:
            return None
        except NoBucket:
            await self._confirm_there_is_no_bucket()
            return None
        return signed["signedUrl"]

    async def ensure_bucket(self) -> bool:
        """Make the bucket, private, unless it is there. Whether anybody may read it, because somebody made it public.

        Raises:
            StorageRefused: the key is not the service role's, or the name is no bucket's.
            StorageUnavailable: a transient error.
        """
        public = await self._is_public()
        if public is not None:
            return public
        create = self._supabase.client.storage.create_bucket(self._bucket, options={"public": False})
        try:
            await self._call("the bucket", create)
        except AlreadyThere:  # another worker was faster
            return bool(await self._is_public())
        return False

    async def close(self) -> None:
        """Close the client's connections: those of the records too, where they share it."""
        await self._supabase.close()

    async def _upload(self, key: str, data: bytes, media_type: str) -> None:
        # As a file, because httpx sends plain bytes in one write, and that one write would have to end in 10 s.
        file: io.BufferedReader = io.BufferedReader(io.BytesIO(data))
        options: FileOptions = {"content-type": media_type, "upsert": "true"}
        await self._call(f"object {key!r} ({len(data):,} bytes)", self._objects.upload(key, file, options))

    async def _entries(self, folder: str) -> list[_Entry]:
        entries: list[_Entry] = []
        while True:
            listing = self._list(folder, len(entries))
            try:
                page = await self._call(f"folder {folder!r}", listing)
            except NoBucket:
                await self._confirm_there_is_no_bucket()
                return []
            entries += page
            if len(page) < PAGE:
                return entries

    async def _list(self, folder: str, offset: int) -> list[_Entry]:
        return _ENTRIES.validate_python(await self._objects.list(folder, {"limit": PAGE, "offset": offset}))

    async def _is_public(self) -> bool | None:
        """None when there is no bucket."""
        try:
            bucket = await self._call("the bucket", self._supabase.client.storage.get_bucket(self._bucket))
        except NoBucket:
            return None
        return bucket.public

    async def _confirm_there_is_no_bucket(self) -> None:
        """A bucket that is missing holds nothing; but to a download with a wrong key, every bucket is missing.

        Raises:
            StorageRefused: it was the key.
            StorageUnavailable: the bucket was made meanwhile, so the question has to be asked again.
        """
        if await self._is_public() is not None:
            raise StorageUnavailable(f"bucket {self._bucket!r} was just created; workers retry until it succeeds")

    async def _call(self, thing: str, call: Awaitable[T]) -> T:
        """What the client answers; its errors in our words."""
        place = f"{thing} in bucket {self._bucket!r} of {self._supabase.url}"
        try:
            return await call
        except StorageApiError as error:
            raise translated(error, place) from error
        except httpx.RequestError as error:
            # Without its cause: tracebacks and Temporal's histories would quote it.
            raise StorageUnavailable(
                f"{place}: no answer ({described(error)}); workers retry until it succeeds"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise StorageUnavailable(
                f"{place}: not a response of Supabase Storage; check SUPABASE_URL; workers retry until it succeeds"
            ) from error
