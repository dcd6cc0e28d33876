"""Staged pictures to their final places: read, brought into the ordered format, stored."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import PurePosixPath
from typing import Protocol

import structlog

from activities.materials import Stages
from activities.staging import Staged, Staging
from darkroom.domain.attempts import AttemptEnd
from darkroom.domain.errors import (
    DarkroomError,
    PictureNotExamined,
    RecordsRefused,
    StorageRefused,
    StorageUnavailable,
)
from darkroom.domain.formats import SUFFIXES, XMP, ImageFormat
from darkroom.domain.groups import Uploaded, UploadGroupInput, UploadGroupResult
from darkroom.domain.images import ImageKey, Outcome, UploadInput, UploadResult
from darkroom.domain.names import MARKED_BESIDE, image_prefix, sidecar_key, thumbnail_key
from darkroom.domain.sources import PictureOrigin
from darkroom.pictures import CORES, Deliverable, NoChild, NotAPicture, PictureWork, digest_of, source_of
from darkroom.records.images import ImageRecords, ReferenceRecords
from darkroom.records.jobs import JobRecords
from darkroom.records.watching import WatchRecords
from darkroom.room import Room
from darkroom.storage import Storage

log = structlog.get_logger(__name__)

MAY_BE_LATE = 10.0
"""Seconds of an upload after which the server may have given this worker up."""

THUMBNAIL_PATIENCE = 5.0
"""Seconds until a thumbnail is given up."""

GROUP_PATIENCE = 15.0
"""Seconds after which the pictures of a group that are not stored yet go alone."""

UNFORESEEN = 5
"""How often an error that nobody foresaw is met with one picture before it is a miss: it may pass, as memory does."""

IN_HAND = 4 * CORES
"""Pictures that are in memory as the provider gave them, without the light ones: while some are encoded, others are
read."""

LIGHT = 256_000
"""Bytes of a picture that lets the next be read once it is read itself: it does little to memory, and then waits for
the records together with others."""

IN_HAND_BYTES = 32_000_000 * CORES
"""Bytes that they may have together, going by the largest of the last few: the pictures of an order are alike, and how
large one is shows only when it is in memory."""

IN_HAND_PATIENCE = 20.0
"""Seconds that a picture waits for room; an upload has 60."""


class UploadRecords(ImageRecords, ReferenceRecords, JobRecords, WatchRecords, Protocol):
    """What an upload asks of an image."""


class Uploads:
    """The uploads of one worker."""

    def __init__(
        self, records: UploadRecords, storage: Storage, staging: Staging, pictures: PictureWork, stages: Stages
    ) -> None:
        self._records = records
        self._storage = storage
        self._staging = staging
        self._pictures = pictures
        self._stages = stages
        self._in_hand = asyncio.Semaphore(IN_HAND)
        self._room = Room(IN_HAND_BYTES, IN_HAND_PATIENCE)
        self._expected_size = IN_HAND_BYTES // 4  # so that the first ones do not come all at once
        self._unforeseen: Counter[str] = Counter()
        """Errors by picture."""

    async def group(self, group: UploadGroupInput) -> UploadGroupResult:
        """Several pictures side by side, with a result each."""
        pictures = [asyncio.create_task(self.one(image)) for image in group.uploads()]
        _, slow = await asyncio.wait(pictures, timeout=GROUP_PATIENCE)
        for picture in slow:
            picture.cancel()
        ended = await asyncio.gather(*pictures, return_exceptions=True)
        return UploadGroupResult(
            directory=image_prefix(group.job_id, group.user_id).rstrip("/"),
            results=tuple(_in_group(end) for end in ended),
        )

    async def one(self, image: UploadInput) -> UploadResult:
        """One picture: stored, delivered already, or why not.

        Raises:
            StorageUnavailable, RecordsUnavailable, NoChild, PictureNotExamined: not now.
        """
        started = time.monotonic()
        try:
            async with self._in_memory() as place:
                staged = await self._staging.find(image.key, () if image.call_id is None else (image.call_id,))
                if staged is None:
                    return await self._nothing_staged(image)
                self._expected_size = max(len(staged.data), self._expected_size // 2)
                if len(staged.data) <= LIGHT:
                    await place.aclose()
                origin = await self._origin(staged)
                stage = await self._stages.of(image.key.job_id, image.key.stage_index)
                mark = self._pictures.mark(origin, image.key.job_id)
                made = await self._pictures.deliverable(staged.data, stage.format or ImageFormat.WEBP, mark)
                path = image.key.final(image.user_id, staged.call_id, _suffix(made))
                del staged
            await self._store(path, made)
            if time.monotonic() - started > MAY_BE_LATE:
                await self._remove_if_late(image.key, path)
        except NotAPicture as error:
            return await self._missed(image, str(error))
        except StorageRefused as error:
            # The provider did its part, and the bytes wait in staging for a restart.
            if image.call_id is not None:
                end = AttemptEnd(outcome=Outcome.GENERATED, seconds=0, cost_usd=image.cost_usd)
                await self._records.finish_attempt(image.call_id, end)
            return UploadResult(outcome=Outcome.STOPPED, reason=str(error))
        except (DarkroomError, NoChild):
            raise  # no fault of the picture
        except Exception as error:  # noqa: BLE001 - the picture is paid for: not lost, and not tried for ever
            return await self._look_again(image, error)
        self._unforeseen.pop(str(image.key), None)
        sha256 = await digest_of(made.data)
        return UploadResult(outcome=Outcome.GENERATED, path=path, size=len(made.data), sha256=sha256)

    @asynccontextmanager
    async def _in_memory(self) -> AsyncIterator[AsyncExitStack]:
        """Room for one picture; gives its place among those in hand, for whoever needs it no longer to close."""
        async with AsyncExitStack() as place:
            await place.enter_async_context(self._in_hand)
            async with self._room.holding(self._expected_size):
                yield place

    async def _store(self, path: str, made: Deliverable) -> None:
        """The mark first: no picture is ever there without it."""
        beside = sidecar_key(path)
        if beside is not None and made.beside is not None:
            await self._storage.put(beside, made.beside, XMP)
        await asyncio.gather(self._storage.put(path, made.data, made.media_type), self._keep_thumbnail(path, made))

    async def _keep_thumbnail(self, path: str, made: Deliverable) -> None:
        """A page makes one that is not there: no picture waits or fails for want of it."""
        key = thumbnail_key(path)
        if key is None or made.small is None:
            return
        try:
            async with asyncio.timeout(THUMBNAIL_PATIENCE):
                await self._storage.put(key, made.small, "image/webp")
        except (StorageUnavailable, StorageRefused, TimeoutError) as error:
            log.info("thumbnail not kept", path=path, reason=str(error) or type(error).__name__)

    async def _origin(self, staged: Staged) -> PictureOrigin:
        """Who drew the picture; what its bytes are is written down, for its attachment."""
        if staged.call_id is None:
            return PictureOrigin()
        try:
            return await self._records.note_source(staged.call_id, await source_of(staged.data))
        except RecordsRefused as error:  # what they refuse of this is no reason to lose a picture that is paid for
            log.warning("source of a picture not recorded", call_id=str(staged.call_id), reason=str(error))
            return PictureOrigin()

    async def _look_again(self, image: UploadInput, error: Exception) -> UploadResult:
        """Leave a picture to the next attempt; the last one records a miss.

        Raises:
            PictureNotExamined: unless this is the last one.
        """
        reason = f"the picture could not be encoded: {type(error).__name__}"
        log.error("picture not encoded", job_id=str(image.key.job_id), key=str(image.key), exc_info=error)
        self._unforeseen[str(image.key)] += 1
        if self._unforeseen[str(image.key)] < UNFORESEEN:
            raise PictureNotExamined(reason) from None
        del self._unforeseen[str(image.key)]
        return await self._missed(image, reason)

    async def _remove_if_late(self, key: ImageKey, path: str) -> None:
        """Remove a file that nobody will name: this worker stood still, and the image was delivered or given up."""
        attach_id = await self._delivered(key)
        delivered = None if attach_id is None else await self._records.stored_file(attach_id)
        job = await self._records.job(key.job_id)
        if (delivered is None or delivered.path != path) and (delivered or job is None or job.status.ended):
            await self._storage.delete([path, *filter(None, [sidecar_key(path), thumbnail_key(path)])])
            log.warning("late picture removed", job_id=str(key.job_id), key=str(key))

    async def _delivered(self, key: ImageKey) -> int | None:
        pairs = await self._records.delivered_pairs(key.job_id, key.stage_index, key.ordinal - 1, 1)
        return next((attach_id for ordinal, attach_id in pairs if ordinal == key.ordinal), None)

    async def _nothing_staged(self, image: UploadInput) -> UploadResult:
        attach_id = await self._delivered(image.key)
        if attach_id is not None:
            return UploadResult(outcome=Outcome.DELIVERED, attach_id=attach_id)
        return await self._missed(image, "its staged file is missing")

    async def _missed(self, image: UploadInput, reason: str) -> UploadResult:
        if image.call_id is not None:
            end = AttemptEnd(outcome=Outcome.MISSED, reason=reason, seconds=0, cost_usd=image.cost_usd)
            await self._records.finish_attempt(image.call_id, end)
        return UploadResult(outcome=Outcome.MISSED, reason=reason)


def _suffix(made: Deliverable) -> str:
    suffix = SUFFIXES[made.media_type]
    return suffix if made.beside is None else f"{MARKED_BESIDE}{suffix}"


def _in_group(end: UploadResult | BaseException) -> Uploaded:
    match end:
        case UploadResult():
            return Uploaded(
                outcome=end.outcome,
                name=None if end.path is None else PurePosixPath(end.path).name,
                size=end.size,
                sha256=end.sha256,
                attach_id=end.attach_id,
                reason=end.reason,
            )
        case Exception() | asyncio.CancelledError():
            return Uploaded(again=True)  # its own activity says what is wrong, and tries again by itself
        case _:
            raise end
