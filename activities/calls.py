"""Provider calls: begun in the records, made once, their bytes in staging before anybody hears of them."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID, uuid4

import structlog
from temporalio import activity

from activities.call_results import OUTCOMES, generated, known, without_picture
from activities.liveness import pause
from activities.materials import Material, MaterialRecords, Materials, Stages
from activities.provider_health import ProviderHealth
from activities.staging import FIRST_RETRY, LONGEST_RETRY, Staging
from darkroom.domain.attempts import Attempt, AttemptEnd, Begin
from darkroom.domain.ceilings import Ceilings
from darkroom.domain.costs import NOTHING, WITHOUT_COST
from darkroom.domain.errors import (
    DarkroomError,
    PictureNotExamined,
    ProviderUnavailable,
    RecordsUnavailable,
    StorageRefused,
    StorageUnavailable,
)
from darkroom.domain.images import (
    Generated,
    GenerateInput,
    GenerateResult,
    ImageRequest,
    Missed,
    Outcome,
    ProviderAnswer,
    Refused,
    Stopped,
)
from darkroom.pictures import NotAPicture, PictureWork
from darkroom.providers import ImageProvider
from darkroom.providers.answer_room import AnswerRoom, at_most
from darkroom.records.images import ImageRecords
from darkroom.storage import Storage

log = structlog.get_logger(__name__)


class CallRecords(ImageRecords, MaterialRecords, Protocol):
    """Calls, and what they are made from."""


class ProviderCalls:
    """Makes one picture: looks at what is there first, calls the provider at most once."""

    def __init__(  # noqa: PLR0917 - what they work with, put together in one place
        self,
        records: CallRecords,
        storage: Storage,
        staging: Staging,
        providers: Mapping[str, ImageProvider],
        pictures: PictureWork,
        health: ProviderHealth,
        *,
        last_attempt: int,
        longest: timedelta,
        worker: str | None = None,
        ceilings: Ceilings | None = None,
    ) -> None:
        self._records = records
        self._staging = staging
        self._providers = providers
        self._pictures = pictures
        self._health = health
        self.stages = Stages(records)
        """Those that were read lately; uploads of this process need them, too."""
        self._materials = Materials(records, storage, pictures, self.stages)
        self.last_attempt = last_attempt
        """The attempt after which Temporal does not try again."""
        self._longest = longest.total_seconds()
        self._worker = worker
        self._room = AnswerRoom()
        self._ceilings = ceilings

    async def make(self, image: GenerateInput, cancelled: asyncio.Event) -> GenerateResult:
        """One image, or why there is none.

        Args:
            image: which one.
            cancelled: set when the call need not begin; one that has begun is finished all the same.

        Raises:
            ProviderUnavailable: and other transient errors; Temporal retries.
        """
        await self._staging.until_back(cancelled)
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
            worker=self._worker,
            taken_at=activity.info().started_time,
            ceilings=None if image.provider in WITHOUT_COST else self._ceilings,
        )
        if cancelled.is_set():
            return GenerateResult(outcome=Outcome.HELD, reason="cancelled before it started")
        begun = await self._records.begin_attempt(attempt, looked=False)
        if begun.begin is Begin.LOOK:
            staged = await self._staged(image, begun.call_ids or ((begun.call_id,) if begun.call_id else ()))
            if staged is not None:
                return staged
            begun = await self._records.begin_attempt(attempt, looked=True)
        if begun.begin is not Begin.BEGUN:
            return known(begun, attempt)
        # Nothing is awaited between the row above and the call: a pause or a cancel written before the
        # row refuses it, one written after finds the call in progress.
        async with self._room.call():
            return await self._call(image, provider, material, call_id)

    async def _call(
        self, image: GenerateInput, provider: ImageProvider | None, material: Material, call_id: UUID
    ) -> GenerateResult:
        started = time.monotonic()
        attempt = activity.info().attempt
        try:
            answer: ProviderAnswer
            if provider is None:
                answer = Stopped(
                    reason=f"this worker has no provider '{image.provider}': set the provider's API key",
                    cost_usd=NOTHING,
                )
            elif material.lost is not None:
                answer = Refused(reason=material.lost, final=True, cost_usd=NOTHING)
            else:
                answer = await self._ask(provider, material.request(image.key.ordinal, attempt))
        except ProviderUnavailable as error:
            seconds = time.monotonic() - started
            if attempt < self.last_attempt:
                self._health.failed(image.provider, str(image.key), error.reason)
                await self._finish(
                    call_id,
                    AttemptEnd(outcome=Outcome.FAULT, reason=error.reason, seconds=seconds, cost_usd=error.cost_usd),
                )
                raise
            self._health.gave_up(image.provider, str(image.key), error.reason)
            answer = Missed(reason=f"gave up after {attempt} attempts: {error.reason}", cost_usd=error.cost_usd)
            given_up = await self._conclude(image, call_id, answer, seconds)
            return given_up.model_copy(update={"gave_up": True})
        except DarkroomError:
            raise
        except Exception as error:
            # The call may have been billed, and another one would end the same way.
            log.exception("provider's answer lost", job_id=str(image.key.job_id), key=str(image.key))
            answer = Missed(reason=f"the provider's answer could not be read: {type(error).__name__}")
        if provider is not None and material.lost is None:
            self._health.answered(image.provider, str(image.key), OUTCOMES[type(answer)])
        return await self._conclude(image, call_id, answer, time.monotonic() - started)

    async def _ask(self, provider: ImageProvider, request: ImageRequest) -> ProviderAnswer:
        # Providers keep a limit of their own, below this one; the activity itself has none to speak of.
        try:
            async with at_most(self._longest):
                return await provider.generate(request)
        except TimeoutError:
            raise ProviderUnavailable(f"no answer from the provider within {self._longest:g} s") from None

    async def _conclude(
        self, image: GenerateInput, call_id: UUID, answer: ProviderAnswer, seconds: float
    ) -> GenerateResult:
        if isinstance(answer, Generated):
            self._room.learn(len(answer.data) * 4 // 3)  # in base64, as it came
            made = AttemptEnd(outcome=Outcome.GENERATED, seconds=seconds, cost_usd=answer.cost_usd)
            try:
                await self._staging.put(image.key, call_id, answer.data)
            except StorageRefused as error:
                # The job stops; a restart after somebody has fixed the storage finds the picture.
                await self._finish(call_id, made)
                return GenerateResult(outcome=Outcome.STOPPED, call_id=call_id, reason=str(error))
            except StorageUnavailable:
                # This worker stops. With its bytes on disk, this is no call whose outcome nobody knows.
                if await self._staging.is_kept(image.key, call_id):
                    await self._finish(call_id, made)
                raise
            except Exception as error:  # noqa: BLE001 - memory, a fault of a client: the next attempt finds the bytes
                return await self._look_again(image, call_id, error)
            return await generated(call_id, answer.data, seconds, answer.cost_usd)
        result = without_picture(call_id, answer)
        end = AttemptEnd(
            outcome=result.outcome,
            reason=result.reason,
            final=result.final,
            seconds=seconds,
            cost_usd=answer.cost_usd,
        )
        await self._finish(call_id, end)
        return result

    async def _examined(self, image: GenerateInput, call_id: UUID, data: bytes) -> GenerateResult:
        """What earlier staged bytes are: a picture, or a miss, which is recorded. New ones are left to `upload`."""
        try:
            await self._pictures.check(data)
        except NotAPicture as error:
            return await self._miss(call_id, str(error))
        except Exception as error:  # noqa: BLE001 - memory, no thread: it may pass, and the bytes are staged
            return await self._look_again(image, call_id, error)
        return await generated(call_id, data, None)

    async def _look_again(self, image: GenerateInput, call_id: UUID, error: Exception) -> GenerateResult:
        """Leave kept bytes to the next attempt, which looks before it calls; the last attempt records a miss.

        Raises:
            PictureNotExamined: unless this is the last attempt.
        """
        reason = f"the picture could not be examined: {type(error).__name__}"
        log.error("picture not examined", job_id=str(image.key.job_id), key=str(image.key), exc_info=error)
        if activity.info().attempt < self.last_attempt:
            raise PictureNotExamined(reason) from None
        return await self._miss(call_id, reason)

    async def _miss(self, call_id: UUID, reason: str) -> GenerateResult:
        await self._finish(call_id, AttemptEnd(outcome=Outcome.MISSED, reason=reason, seconds=0))
        return GenerateResult(outcome=Outcome.MISSED, call_id=call_id, reason=reason)

    async def _finish(self, call_id: UUID, end: AttemptEnd) -> None:
        """Write how a call ended, as soon as the records are there: unwritten, it would be made again."""
        self._room.leave()
        delay = FIRST_RETRY
        while True:
            try:
                await self._records.finish_attempt(call_id, end)
            except RecordsUnavailable:
                if await pause(delay):
                    raise
                delay = min(2 * delay, LONGEST_RETRY)
            else:
                return

    async def _staged(self, image: GenerateInput, call_ids: Sequence[UUID]) -> GenerateResult | None:
        """What earlier calls of this image left in staging: the newest picture, or why there is none."""
        missed: GenerateResult | None = None
        rest = call_ids
        while True:
            try:
                staged = await self._staging.find(image.key, rest)
            except StorageRefused as error:
                return GenerateResult(outcome=Outcome.STOPPED, reason=str(error))
            if staged is None:
                return missed
            # Those of version 0.1 do not say which call brought them.
            found = await self._examined(image, staged.call_id or call_ids[0], staged.data)
            if found.outcome is Outcome.GENERATED:
                return found
            log.warning("staged picture unreadable", job_id=str(image.key.job_id), key=str(image.key))
            await self._staging.drop([(image.key, staged.call_id)])
            missed = found
            rest = call_ids[call_ids.index(staged.call_id) + 1 :] if staged.call_id else ()


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
