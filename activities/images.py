"""The four activities of an image: generate, upload, attach, credit (spec §3)."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Protocol

import structlog
from temporalio import activity

from activities.calls import ProviderCalls, SharedCalls
from activities.errors import at_the_edge
from activities.held_calls import HeldCalls
from activities.liveness import finish_despite_cancel, pause
from activities.refreshing import RowRefresher
from activities.staging import Staging
from activities.uploads import Uploads
from darkroom.domain.errors import (
    CallsInProgress,
    ProviderUnavailable,
    StorageRefused,
    StorageUnavailable,
    WorkerStops,
)
from darkroom.domain.groups import (
    Attached,
    AttachGroupInput,
    AttachGroupResult,
    Credited,
    CreditGroupInput,
    CreditGroupResult,
    UploadGroupInput,
    UploadGroupResult,
)
from darkroom.domain.images import (
    AttachInput,
    AttachResult,
    CreditInput,
    CreditResult,
    FindStagedInput,
    FindStagedResult,
    GenerateInput,
    GenerateResult,
    ImageKey,
    Outcome,
    Settlement,
    StagedImage,
    UploadInput,
    UploadResult,
)
from darkroom.domain.money import SettledImage
from darkroom.pictures import PictureWork
from darkroom.records.images import ImageRecords, ReferenceRecords
from darkroom.records.jobs import JobRecords
from darkroom.records.money import MoneyRecords
from darkroom.records.watching import WatchRecords
from darkroom.storage import Storage
from darkroom.workers import LocalWorkers

log = structlog.get_logger(__name__)

STAGED_PAGE = 100
MOST_UNSETTLED = 1_000
FIRST_LOOK = 0.1
LONGEST_LOOK = 2.0
"""Seconds between looks whether the calls of an ended stage have ended."""

MOST_WAITING = 20
"""Activities of this process that look so at once. Each takes a place that settlements and cancels need too."""

CHECK_EVERY = 0.1
"""Seconds between checks whether the last pictures are settled, while the worker stops."""


class DeliveryRecords(ImageRecords, ReferenceRecords, MoneyRecords, JobRecords, WatchRecords, Protocol):
    """Images, their files and their settlement."""


class ImageActivities:
    """Each may be executed twice at any time, and then does its work once."""

    def __init__(  # noqa: PLR0917 - what they work with, put together in one place
        self,
        records: DeliveryRecords,
        storage: Storage,
        staging: Staging,
        calls: ProviderCalls,
        pictures: PictureWork,
        refresher: RowRefresher,
        workers: LocalWorkers,
        held_calls: HeldCalls,
        *,
        settles_here: bool,
    ) -> None:
        self._records = records
        self._staging = staging
        self._calls = calls
        self._shared = SharedCalls()
        self._uploads = Uploads(records, storage, staging, pictures, calls.stages)
        self._refresher = refresher
        self._workers = workers
        self._held_calls = held_calls
        self._settles_here = settles_here
        """Whether this process also uploads and settles what it generates."""
        self._unsettled: dict[ImageKey, str] = {}
        """What was generated here lately, and where its bytes wait."""
        self._waiting = 0

    async def until_settled(self, patience: float) -> None:
        """Wait at most `patience` seconds until the pictures made here lately are settled, by whichever worker.

        What the records refused to attach or settle is not waited for: it stays in staging for the job's next run.
        """
        waiting = list(self._unsettled.values())
        try:
            async with asyncio.timeout(patience):
                while waiting := [key for key in waiting if await self._staging.holds(key)]:  # noqa: ASYNC110
                    await asyncio.sleep(CHECK_EVERY)  # another process may settle them; it does not say so
        except (TimeoutError, StorageRefused, StorageUnavailable):
            # A job that was paused, cancelled or moved elsewhere, or no storage; its next run finds them in staging.
            log.info("pictures left in staging", pictures=len(waiting))

    @activity.defn
    @at_the_edge
    async def generate(self, image: GenerateInput) -> GenerateResult:
        """Make one image and leave its bytes in staging."""
        key = str(image.key)
        running = self._shared.running(key)
        if running is not None:
            try:
                result = await finish_despite_cancel(running)
            except ProviderUnavailable:
                # The last attempt must end in a miss that is recorded, so it makes a call of its own.
                if activity.info().attempt < self._calls.last_attempt:
                    raise
            else:
                if result.outcome is not Outcome.HELD:
                    return result
        cancelled = asyncio.Event()
        call = asyncio.create_task(self._calls.make(image, cancelled))
        self._shared.add(key, call)
        made = await finish_despite_cancel(call, on_cancel=cancelled.set)
        if made.outcome is Outcome.HELD and not (made.final or cancelled.is_set()):
            await self._held_calls.note(image.key.job_id)
        if made.outcome is Outcome.GENERATED and self._settles_here:
            self._unsettled[image.key] = image.key.staging(made.call_id)
            if len(self._unsettled) > MOST_UNSETTLED:
                del self._unsettled[next(iter(self._unsettled))]
        return made

    @activity.defn
    @at_the_edge
    async def find_staged(self, asked: FindStagedInput) -> FindStagedResult:
        """Images of a stage that wait in staging, at most a page of them; after the calls in progress, if so asked."""
        if asked.calls_end_within_seconds is not None:
            await finish_despite_cancel(asyncio.create_task(self._until_calls_end(asked)))
        pairs = await self._records.unsettled_attempts(asked.job_id, asked.stage_index, asked.after, STAGED_PAGE)
        calls = {ordinal: [call_id for _, call_id in of_it] for ordinal, of_it in groupby(pairs, itemgetter(0))}
        images = {
            ImageKey(job_id=asked.job_id, stage_index=asked.stage_index, ordinal=ordinal): call_ids
            for ordinal, call_ids in calls.items()
        }
        looking = asyncio.create_task(self._staging.calls_with_bytes(asked.job_id, images))
        found = await finish_despite_cancel(looking)
        return FindStagedResult(
            found=tuple(StagedImage(ordinal=key.ordinal, call_id=call_id) for key, call_id in found.items()),
            next_after=max(calls) if len(calls) == STAGED_PAGE else None,
        )

    async def _until_calls_end(self, asked: FindStagedInput) -> None:
        """Wait while a call may still bring a picture: its worker lives, for all that is known, and it has not ended.

        Raises:
            WorkerStops: before they ended; another worker waits on.
            CallsInProgress: so many stages wait here that Temporal does it for this one.
        """
        if not await self._calls_in_progress(asked):
            return
        if self._waiting >= MOST_WAITING:
            raise CallsInProgress("calls of this stage are in progress; asked again soon")
        self._waiting += 1
        try:
            delay = FIRST_LOOK
            while not await pause(delay):
                if not await self._calls_in_progress(asked):
                    return
                delay = min(2 * delay, LONGEST_LOOK)
            raise WorkerStops("this worker stops; another one waits for the calls in progress")
        finally:
            self._waiting -= 1

    async def _calls_in_progress(self, asked: FindStagedInput) -> bool:
        assert asked.calls_end_within_seconds is not None
        calls = await self._records.open_calls(asked.job_id, asked.stage_index, asked.calls_end_within_seconds)
        in_progress = {
            ImageKey(job_id=asked.job_id, stage_index=asked.stage_index, ordinal=call.ordinal).staging(call.call_id)
            for call in calls
            if not self._workers.is_dead(call.worker)
        }
        return bool(in_progress) and not in_progress <= await self._staging.names(asked.job_id)

    @activity.defn
    @at_the_edge
    async def upload(self, image: UploadInput) -> UploadResult:
        """Bring the staged bytes into the ordered format and write them to their final place."""
        return await finish_despite_cancel(asyncio.create_task(self._uploads.one(image)))

    @activity.defn
    @at_the_edge
    async def upload_group(self, group: UploadGroupInput) -> UploadGroupResult:
        """`upload` for several pictures, side by side; one that is slow, or not taken now, is left to `upload`."""
        return await finish_despite_cancel(asyncio.create_task(self._uploads.group(group)))

    @activity.defn
    @at_the_edge
    async def attach(self, image: AttachInput) -> AttachResult:
        """Record the stored file, or find its record."""
        attached = await self._records.attach(image)
        self._note_attached([image.key], [attached])
        return attached

    @activity.defn
    @at_the_edge
    async def credit(self, image: CreditInput) -> CreditResult:
        """Settle: the image counts and is charged for, once; then its staged bytes go."""
        settled = await self._records.settle(image.key, image.run_id)
        await self._forget([(image.key, settled)])
        return CreditResult(settlement=settled.settlement, attach_id=settled.attach_id, reason=settled.reason)

    @activity.defn
    @at_the_edge
    async def attach_group(self, group: AttachGroupInput) -> AttachGroupResult:
        """`attach` for several images of a stage."""
        attached = await self._records.attach_group(group)
        self._note_attached(group.image_keys(), attached)
        return AttachGroupResult(results=tuple(attached))

    @activity.defn
    @at_the_edge
    async def credit_group(self, group: CreditGroupInput) -> CreditGroupResult:
        """`credit` for several images of a stage, in their order."""
        settled = await self._records.settle_group(group)
        await self._forget(list(zip(group.image_keys(), settled, strict=True)))
        return CreditGroupResult(results=tuple(Credited.of(image) for image in settled))

    def _note_attached(self, keys: Iterable[ImageKey], results: Sequence[AttachResult | Attached]) -> None:
        for key, result in zip(keys, results, strict=True):
            if result.attach_id is None:
                self._unsettled.pop(key, None)

    async def _forget(self, images: Sequence[tuple[ImageKey, SettledImage]]) -> None:
        """Of what is settled the staged bytes go, and the job's row may be due."""
        for key, _ in images:
            self._unsettled.pop(key, None)
        settled = [(key, image) for key, image in images if image.settlement is Settlement.SETTLED]
        if not settled:
            return
        job_id = settled[0][0].job_id
        if any(image.row_trails for _, image in settled):
            self._refresher.due(job_id)
        staged = [(key, call_id) for key, image in settled for call_id in (*image.call_ids, None)]
        try:
            await self._staging.drop(staged)
        except StorageRefused as error:
            # The pictures are settled; staged objects too many harm nobody.
            log.warning("staged pictures not removed", job_id=str(job_id), reason=str(error))
