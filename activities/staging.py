"""Where paid bytes wait until they are settled: in storage, and beside this worker while storage does not take them."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import structlog

from activities.liveness import pause
from darkroom.domain.errors import StorageRefused, StorageUnavailable
from darkroom.domain.images import ImageKey
from darkroom.domain.names import STAGING
from darkroom.pictures import guess_media_type
from darkroom.storage import Storage

FIRST_RETRY = 0.5
LONGEST_RETRY = 15.0
"""Seconds between two tries to stage a picture while storage is away."""

LONGEST_WAIT = 60.0
"""Seconds that a new call waits for the storage: the picture that cannot be staged may be the only one."""

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
        self._waiting = 0
        """Pictures that storage does not take at the moment."""
        self._taken = asyncio.Event()
        """Set whenever storage takes something."""

    async def put(self, key: ImageKey, call_id: UUID, data: bytes) -> None:
        """Stage the bytes of a call; ends when they are there.

        Raises:
            StorageRefused: storage will not take them; they stay beside this worker.
            StorageUnavailable: this worker stops, and stages them when it starts again.
        """
        name = key.staging(call_id)
        try:
            await self._put(name, data)
        except StorageRefused:
            await self._keep(name, data)
            raise
        except StorageUnavailable as error:
            log.warning("picture waits for the storage", job_id=str(key.job_id), key=name, reason=str(error))
            await self._put_when_it_is_back(name, data)

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

    async def call_with_bytes(self, key: ImageKey, call_ids: Sequence[UUID]) -> UUID | None:
        """Which of an image's calls left bytes; the newest one where it is not known any more.

        Raises:
            StorageRefused, StorageUnavailable: as `find`.
        """
        for call_id in call_ids:
            if await self._storage.exists(key.staging(call_id)) or await self._stage_kept(key.staging(call_id)):
                return call_id
        return call_ids[0] if call_ids and await self._storage.exists(key.staging(None)) else None

    async def drop(self, key: ImageKey, call_ids: Sequence[UUID]) -> None:
        """Remove what the calls of an image left."""
        await self._storage.delete([key.staging(call_id) for call_id in (*call_ids, None)])

    async def holds(self, name: str) -> bool:
        """Whether something lies there, in storage."""
        return await self._storage.exists(name)

    async def until_back(self, cancelled: asyncio.Event) -> None:
        """While storage is away, wait before the next paid call until it is back, or `cancelled` is set."""
        if not self._waiting:
            return
        self._taken.clear()
        waits = [asyncio.ensure_future(event.wait()) for event in (self._taken, cancelled)]
        try:
            await asyncio.wait(waits, timeout=LONGEST_WAIT, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def stage_what_was_kept(self) -> int:
        """Stage what lies beside this worker, of its last life too; how many pictures are left there.

        Those that storage refuses are not counted: they wait for a restart of their job.
        """
        left = 0
        try:
            names = await self._beside.keys(STAGING)
        except (StorageRefused, StorageUnavailable) as error:
            log.warning("pictures kept by this worker cannot be read", reason=str(error))
            return 0
        for name in names:
            try:
                await self._stage_kept(name)
            except StorageUnavailable:
                left += 1
            except StorageRefused as error:
                log.warning("kept picture not staged", key=name, reason=str(error))
        return left

    async def keep_staging(self) -> None:
        """Stage what was kept until nothing is left."""
        delay = FIRST_RETRY
        while await self.stage_what_was_kept():
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_RETRY)

    async def _put(self, name: str, data: bytes) -> None:
        await self._storage.put(name, data, guess_media_type(data))
        self._taken.set()

    async def _put_when_it_is_back(self, name: str, data: bytes) -> None:
        self._waiting += 1
        on_disk = await self._keep(name, data)
        delay = FIRST_RETRY
        try:
            while True:
                stops = await pause(delay)
                try:
                    await self._put(name, data)
                except StorageUnavailable:
                    # In memory only, nothing but trying on saves it, as long as this process is left alone.
                    if stops and on_disk:
                        raise
                    delay = min(2 * delay, LONGEST_RETRY)
                else:
                    await self._forget(name)
                    return
        finally:
            self._waiting -= 1

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
            log.warning("picture kept in memory only", key=name, reason=str(error))
            self._in_memory[name] = data
            return False
        return True

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
        try:
            await self._beside.delete([name])
        except (StorageRefused, StorageUnavailable) as error:
            log.warning("kept picture not removed", key=name, reason=str(error))
