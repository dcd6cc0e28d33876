"""Where paid bytes wait until they are settled: in storage, and beside this worker while storage does not take them."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import structlog
from temporalio import activity

from activities.liveness import pause
from darkroom.domain.errors import StorageRefused, StorageUnavailable
from darkroom.domain.images import ImageKey
from darkroom.domain.names import STAGING, staging_prefix
from darkroom.pictures import guess_media_type
from darkroom.storage import Storage

FIRST_RETRY = 0.5
LONGEST_RETRY = 15.0
"""Seconds between two tries to stage a picture while storage is away."""

REFUSED_RETRY = 300.0
"""Seconds until what storage refused is tried again: somebody may have raised a limit or given a permission."""

LONGEST_WAIT = 60.0
"""Seconds that a new call waits for the storage; then it is tried, as nothing else may tell that it is back."""

LONGEST_STOP = 60.0
"""Seconds that a worker which stops goes on trying to save what it has in memory only."""

log = structlog.get_logger(__name__)


class Staged(NamedTuple):
    """Bytes as a provider gave them, and the call that brought them; None for those that version 0.1 staged."""

    call_id: UUID | None
    data: bytes


class Staging:
    """Every call has a place of its own, so that nothing that comes late overwrites the picture of another call.

    Args:
        storage: shared by all workers.
        beside: this worker's own, where bytes survive its end while storage does not take them.
    """

    def __init__(self, storage: Storage, beside: Storage) -> None:
        self._storage = storage
        self._beside = beside
        self._in_memory: dict[str, bytes] = {}
        """What not even the worker's own folder takes."""
        self._in_hand: set[str] = set()
        """What an activity is trying to stage."""
        self._away: set[str] = set()
        """What storage did not take since it last took anything."""
        self._taken = asyncio.Event()
        """Set whenever storage takes something."""
        self._refused: dict[str, float] = {}
        """When to try again what storage refused."""

    async def put(self, key: ImageKey, call_id: UUID, data: bytes) -> None:
        """Stage the bytes of a call; ends when they are there, and otherwise leaves them beside this worker.

        Raises:
            StorageRefused: storage will not take them.
            StorageUnavailable: this worker stops, and stages them when it starts again.
        """
        name = key.staging(call_id)
        try:
            await self._put(name, data)
        except StorageUnavailable as error:
            log.warning("picture waits for the storage", job_id=str(key.job_id), key=name, reason=str(error))
            await self._put_when_it_is_back(name, data)
        except Exception:
            self._refused[name] = time.monotonic() + REFUSED_RETRY
            await self._keep(name, data)
            raise

    async def find(self, key: ImageKey, call_ids: Sequence[UUID]) -> Staged | None:
        """What an image's calls left, the first one's that left anything; it is in storage then.

        Raises:
            StorageRefused: storage will not take what lies beside this worker, or shows nothing.
            StorageUnavailable: it cannot be asked now.
        """
        for call_id in (*call_ids, None):
            name = key.staging(call_id)
            data = await self._storage.get(name)
            if data is None and call_id is not None:
                data = await self._kept(name)
                if data is not None:
                    await self._put(name, data)
                    await self._forget(name)
            if data is not None:
                return Staged(call_id, data)
        return None

    async def calls_with_bytes(self, job_id: UUID, images: Mapping[ImageKey, Sequence[UUID]]) -> dict[ImageKey, UUID]:
        """Which call of each image of a job left bytes, where one did; the newest where it is not known any more.

        What lies beside this worker is staged first.

        Raises:
            StorageRefused, StorageUnavailable: storage shows nothing, or not now.
        """
        there = await self.names(job_id)
        for name in (await self._all_kept(staging_prefix(job_id))) - there:
            try:
                if await self._stage_kept(name):
                    there.add(name)
            except StorageRefused as error:
                log.warning("kept picture not staged", job_id=str(job_id), key=name, reason=str(error))
        found = {}
        for key, call_ids in images.items():
            left = next((call_id for call_id in call_ids if key.staging(call_id) in there), None)
            if left is None and key.staging(None) in there:
                left = call_ids[0]
            if left is not None:
                found[key] = left
        return found

    async def names(self, job_id: UUID) -> set[str]:
        """All that is staged of a job.

        Raises:
            StorageRefused, StorageUnavailable: storage shows nothing, or not now.
        """
        return set(await self._storage.keys(staging_prefix(job_id)))

    async def drop(self, calls: Sequence[tuple[ImageKey, UUID | None]]) -> None:
        """Remove what these calls of images left."""
        await self._storage.delete([key.staging(call_id) for key, call_id in calls])

    async def is_kept(self, key: ImageKey, call_id: UUID) -> bool:
        """Whether the bytes of a call lie beside this worker and survive its end."""
        try:
            return await self._beside.exists(key.staging(call_id))
        except (StorageRefused, StorageUnavailable):
            return False

    async def holds(self, name: str) -> bool:
        """Whether something lies there, in storage."""
        return await self._storage.exists(name)

    async def until_back(self, cancelled: asyncio.Event) -> None:
        """While storage is away, wait before the next paid call until it is back, or `cancelled` is set.

        Raises:
            StorageUnavailable: this worker stops; nothing has begun.
        """
        if not self._away:
            return
        self._taken.clear()
        stops = asyncio.ensure_future(activity.wait_for_worker_shutdown())
        waits = [stops, *(asyncio.ensure_future(event.wait()) for event in (self._taken, cancelled))]
        try:
            await asyncio.wait(waits, timeout=LONGEST_WAIT, return_when=asyncio.FIRST_COMPLETED)
            if stops.done():
                raise StorageUnavailable("the storage is away and this worker stops; another one makes the call")
        finally:
            for wait in waits:
                wait.cancel()

    async def keep_staging(self) -> None:
        """Stage what was kept, in this worker's last life too, until this task is cancelled."""
        delay = FIRST_RETRY
        while True:
            delay = LONGEST_RETRY if await self.stage_what_was_kept() else min(2 * delay, LONGEST_RETRY)
            await asyncio.sleep(delay)

    async def stage_what_was_kept(self) -> bool:
        """Whether storage took all that lies beside this worker, but for what it refuses."""
        now = time.monotonic()
        for name in sorted(await self._all_kept(STAGING) - self._in_hand):
            if self._refused.get(name, now) > now:
                continue
            try:
                await self._stage_kept(name)
            except StorageUnavailable:
                return False  # the next one would only wait for the same time-out
            except StorageRefused as error:
                self._refused[name] = now + REFUSED_RETRY
                log.warning("kept picture not staged", key=name, reason=str(error))
        return True

    async def _put(self, name: str, data: bytes) -> None:
        await self._storage.put(name, data, guess_media_type(data))
        self._away.clear()
        self._taken.set()

    async def _put_when_it_is_back(self, name: str, data: bytes) -> None:
        self._in_hand.add(name)
        self._away.add(name)
        on_disk = await self._keep(name, data)
        delay, stopping = FIRST_RETRY, None
        try:
            while True:
                if await pause(delay):
                    stopping = stopping or time.monotonic()
                try:
                    await self._put(name, data)
                except StorageUnavailable:
                    on_disk = on_disk or await self._keep(name, data)
                    # In memory only, nothing but trying on saves it; for a while.
                    if stopping and (on_disk or time.monotonic() > stopping + LONGEST_STOP):
                        raise
                    delay = min(2 * delay, LONGEST_RETRY)
                else:
                    await self._forget(name)
                    return
        finally:
            self._in_hand.discard(name)
            self._away.discard(name)

    async def _stage_kept(self, name: str) -> bool:
        data = await self._kept(name)
        if data is None:
            return False
        await self._put(name, data)
        await self._forget(name)
        return True

    async def _keep(self, name: str, data: bytes) -> bool:
        """Whether it survives the end of this process."""
        try:
            await self._beside.put(name, data, guess_media_type(data))
        except (StorageRefused, StorageUnavailable) as error:
            if name not in self._in_memory:
                log.warning("picture kept in memory only", key=name, reason=str(error))
            self._in_memory[name] = data
            return False
        self._in_memory.pop(name, None)
        return True

    async def _all_kept(self, prefix: str) -> set[str]:
        held = {name for name in self._in_memory if name.startswith(prefix)}
        try:
            return held.union(await self._beside.keys(prefix))
        except (StorageRefused, StorageUnavailable) as error:
            log.warning("pictures kept by this worker cannot be read", reason=str(error))
            return held

    async def _kept(self, name: str) -> bytes | None:
        held = self._in_memory.get(name)
        if held is not None:
            return held
        try:
            return await self._beside.get(name)
        except (StorageRefused, StorageUnavailable) as error:
            # A folder that cannot be read concerns what lies in it, and no picture that is in storage or to be made.
            log.warning("pictures kept by this worker cannot be read", key=name, reason=str(error))
            return None

    async def _forget(self, name: str) -> None:
        self._in_memory.pop(name, None)
        self._refused.pop(name, None)
        try:
            await self._beside.delete([name])
        except (StorageRefused, StorageUnavailable) as error:
            log.warning("kept picture not removed", key=name, reason=str(error))
