"""Provider calls: begun in the records, made once, their bytes in staging before anybody hears of them."""

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID, uuid4

import structlog
from temporalio import activity

from activities.materials import Material, MaterialRecords, Materials
from darkroom.domain.attempts import Attempt, AttemptEnd, Begin, BegunAttempt
from darkroom.domain.errors import ProviderUnavailable, StorageRefused, StorageUnavailable
from darkroom.domain.images import (
    Generated,
    GenerateInput,
    GenerateResult,
    Missed,
    Outcome,
    ProviderAnswer,
    QuotaSpent,
    Refused,
    Stopped,
)
from darkroom.pictures import NotAPicture, PictureWork, digest
from darkroom.providers import ImageProvider
from darkroom.records.images import ImageRecords
from darkroom.storage import Storage

log = structlog.get_logger(__name__)


class CallRecords(ImageRecords, MaterialRecords, Protocol):
    """Calls, and what they are made from."""


class ProviderCalls:
    """Makes one picture: looks at what is there first, calls the provider at most once."""

    def __init__(
        self,
        records: CallRecords,
        storage: Storage,
        providers: Mapping[str, ImageProvider],
        pictures: PictureWork,
        last_attempt: int,
    ) -> None:
        self._records = records
        self._storage = storage
        self._providers = providers
        self._pictures = pictures
        self._materials = Materials(records, storage)
        self.last_attempt = last_attempt
        """The attempt after which Temporal does not try again."""
        self._unstaged: dict[str, tuple[bytes, str]] = {}
        self._staging = asyncio.Lock()

    async def make(self, image: GenerateInput, cancelled: asyncio.Event) -> GenerateResult:
        """One image, or why there is none.

        Args:
            image: which one.
            cancelled: set when the call need not begin; one that has begun is finished all the same.

        Raises:
            ProviderUnavailable: and other transient errors; Temporal retries.
        """
        try:
            await self.stage_what_waits()
        except StorageRefused as error:
            return GenerateResult(outcome=Outcome.STOPPED, reason=str(error))
        material = await self._materials.of(image.key.job_id, image.key.stage_index)
        call_id = uuid4()
        provider = self._providers.get(image.provider)
        attempt = Attempt(
            key=image.key,
            run_id=image.run_id,
            call_id=call_id,
            round=image.round,
            provider=image.provider,
            model=None if provider is None else provider.model,
            attempt=activity.info().attempt,
        )
        if cancelled.is_set():
            return GenerateResult(outcome=Outcome.HELD, reason="cancelled before it started")
        begun = await self._records.begin_attempt(attempt, looked=False)
        if begun.begin is Begin.LOOK:
            staged = await self._staged(image, begun.call_id)
            if staged is not None:
                return staged
            begun = await self._records.begin_attempt(attempt, looked=True)
        if begun.begin is not Begin.BEGUN:
            return _known(begun)
        # Nothing is awaited between the row above and the call: a pause or a cancel written before the
        # row refuses it, one written after finds the call in progress.
        return await self._call(image, provider, material, call_id)

    async def _call(
        self, image: GenerateInput, provider: ImageProvider | None, material: Material, call_id: UUID
    ) -> GenerateResult:
        started = time.monotonic()
        attempt = activity.info().attempt
        try:
            answer: ProviderAnswer
            if provider is None:
                answer = Stopped(reason=f"this worker has no provider '{image.provider}': set the provider's API key")
            elif material.lost is not None:
                answer = Refused(reason=material.lost, final=True)
            else:
                answer = await provider.generate(material.request(image.key.ordinal, attempt))
        except ProviderUnavailable as error:
            seconds = time.monotonic() - started
            if attempt < self.last_attempt:
                end = AttemptEnd(outcome=Outcome.FAULT, reason=error.reason, seconds=seconds)
                await self._records.finish_attempt(call_id, end)
                raise
            answer = Missed(reason=f"gave up after {attempt} attempts: {error.reason}")
            given_up = await self._conclude(image, call_id, answer, time.monotonic() - started)
            return given_up.model_copy(update={"gave_up": True})
        return await self._conclude(image, call_id, answer, time.monotonic() - started)

    async def _conclude(
        self, image: GenerateInput, call_id: UUID, answer: ProviderAnswer, seconds: float
    ) -> GenerateResult:
        if isinstance(answer, Generated):
            try:
                facts = await self._pictures.inspect(answer.data)
            except NotAPicture as error:
                answer = Missed(reason=str(error))
            else:
                return await self._keep(image, call_id, answer.data, facts.media_type, seconds)
        result = _without_picture(call_id, answer)
        end = AttemptEnd(outcome=result.outcome, reason=result.reason, final=result.final, seconds=seconds)
        await self._records.finish_attempt(call_id, end)
        return result

    async def _keep(
        self, image: GenerateInput, call_id: UUID, data: bytes, media_type: str, seconds: float
    ) -> GenerateResult:
        """Put paid bytes into staging, or keep them here until it takes them; no further call is made before."""
        try:
            await self._storage.put(image.key.staging, data, media_type)
        except StorageUnavailable:
            self._unstaged[image.key.staging] = (data, media_type)
            raise
        except StorageRefused as error:
            # The job stops; a restart after somebody has fixed the folder finds the picture.
            self._unstaged[image.key.staging] = (data, media_type)
            await self._records.finish_attempt(call_id, AttemptEnd(outcome=Outcome.GENERATED, seconds=seconds))
            return GenerateResult(outcome=Outcome.STOPPED, call_id=call_id, reason=str(error))
        return _generated(call_id, data, media_type, seconds)

    async def stage_what_waits(self) -> None:
        """Put into staging what could not be put there before.

        Raises:
            StorageUnavailable: it still cannot.
        """
        async with self._staging:
            for key, (data, media_type) in list(self._unstaged.items()):
                await self._storage.put(key, data, media_type)
                del self._unstaged[key]

    async def _staged(self, image: GenerateInput, call_id: UUID | None) -> GenerateResult | None:
        data = await self._storage.get(image.key.staging)
        if data is None:
            return None
        try:
            facts = await self._pictures.inspect(data)
        except NotAPicture:
            log.warning(
                "staged picture unreadable, calling the provider again",
                job_id=str(image.key.job_id),
                key=image.key.staging,
            )
            return None
        return _generated(call_id, data, facts.media_type, None)


def _generated(call_id: UUID | None, data: bytes, media_type: str, seconds: float | None) -> GenerateResult:
    return GenerateResult(
        outcome=Outcome.GENERATED,
        call_id=call_id,
        media_type=media_type,
        size=len(data),
        sha256=digest(data),
        seconds=None if seconds is None else round(seconds, 3),
    )


def _known(begun: BegunAttempt) -> GenerateResult:
    match begun.begin:
        case Begin.DELIVERED:
            return GenerateResult(outcome=Outcome.DELIVERED, attach_id=begun.attach_id)
        case Begin.DECIDED:
            return GenerateResult(outcome=begun.outcome or Outcome.MISSED, reason=begun.reason, final=begun.final)
        case _:
            return GenerateResult(outcome=Outcome.HELD, reason=begun.reason, final=begun.final)


def _without_picture(call_id: UUID, answer: ProviderAnswer) -> GenerateResult:
    reason = None if isinstance(answer, Generated) else answer.reason[:500]
    match answer:
        case Refused():
            return GenerateResult(outcome=Outcome.REFUSED, call_id=call_id, reason=reason, final=answer.final)
        case QuotaSpent():
            return GenerateResult(outcome=Outcome.QUOTA_SPENT, call_id=call_id, reason=reason, until=answer.until)
        case Stopped():
            return GenerateResult(outcome=Outcome.STOPPED, call_id=call_id, reason=reason)
        case _:
            return GenerateResult(outcome=Outcome.MISSED, call_id=call_id, reason=reason)


class SharedCalls:
    """Two executions for the same image in one process, a timed-out one and its retry, share one call."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[GenerateResult]] = {}

    def running(self, key: str) -> "asyncio.Task[GenerateResult] | None":
        """The call in progress for this image."""
        return self._running.get(key)

    def add(self, key: str, call: "asyncio.Task[GenerateResult]") -> None:
        """Remember a call until it is done."""
        self._running[key] = call
        call.add_done_callback(lambda done: self._forget(key, done))

    def _forget(self, key: str, done: "asyncio.Task[GenerateResult]") -> None:
        if self._running.get(key) is done:
            del self._running[key]
