"""The port's methods for images: what most calls of a job are, and so those that go together."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from darkroom.domain.attempts import Attempt, AttemptEnd, BegunAttempt, OpenCall
from darkroom.domain.errors import DarkroomError, Retryable
from darkroom.domain.groups import Attached, AttachGroupInput, CreditGroupInput
from darkroom.domain.images import AttachInput, AttachResult, ImageKey
from darkroom.domain.money import SettledImage
from darkroom.domain.rounds import PAGE, StageCounts
from darkroom.domain.sources import PictureOrigin, PictureSource
from darkroom.gathering import Gatherer, Pace
from darkroom.records.supabase.functions import Functions, Part, keepable

MOST_TOGETHER = 50
"""Savepoints of one transaction: PostgreSQL keeps 64 at hand, with more of them transactions slow each other down."""
MOST_CALLS = 4
"""In progress at once; the process has 20 connections, for everything."""
PATIENCE = 0.25
"""Seconds after which nobody waits any longer for a call that does not end: a lock, or a connection that was lost."""
INTERVAL, AT_ONCE = 0.1, 4
"""A process that begins many provider calls a second asks about them ten times a second: a request costs several
milliseconds of processor time here, at PostgREST and in the database, whatever it asks. Others wait for nobody."""


def _together(
    send: Callable[[Sequence[dict[str, Any]]], Awaitable[Sequence[Any]]],
) -> Gatherer[dict[str, Any], Any]:
    pace = Pace(INTERVAL, AT_ONCE)
    return Gatherer(send, most_together=MOST_TOGETHER, most_calls=MOST_CALLS, patience=PATIENCE, pace=pace)


class SupabaseImages(Part):
    """A part of `SupabaseRecords`."""

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._begins = _together(self._begin)
        self._ends = _together(self._finish)
        self._sources = _together(self._note)

    async def next_ordinals(self, job_id: UUID, stage_index: int, limit: int) -> Sequence[int]:
        count = min(limit, PAGE)
        found: list[int] = await self._call("next_ordinals", job_id=str(job_id), stage_index=stage_index, limit=count)
        return found

    async def begin_attempt(self, attempt: Attempt, *, looked: bool) -> BegunAttempt:
        asked = {**attempt.model_dump(mode="json", exclude={"key"}), **_image(attempt.key), "looked": looked}
        return BegunAttempt.model_validate(await self._begins.ask(asked))

    async def unsettled_attempts(
        self, job_id: UUID, stage_index: int, after: int, limit: int
    ) -> Sequence[tuple[int, UUID]]:
        pairs = await self._call(
            "unsettled_attempts", job_id=str(job_id), stage_index=stage_index, after=after, limit=limit, calls=True
        )
        return [(ordinal, UUID(call_id)) for ordinal, call_id in pairs]

    async def open_calls(self, job_id: UUID, stage_index: int, within_seconds: float) -> Sequence[OpenCall]:
        calls = await self._call(
            "open_calls", job_id=str(job_id), stage_index=stage_index, within_seconds=within_seconds
        )
        return [OpenCall.model_validate(call) for call in calls]

    async def finish_attempt(self, call_id: UUID, end: AttemptEnd) -> None:
        ended = end.model_dump(mode="json") | {"reason": keepable(end.reason)}
        await self._ends.ask({"call_id": str(call_id), **ended})

    async def note_source(self, call_id: UUID, source: PictureSource) -> PictureOrigin:
        noted = await self._sources.ask({"call_id": str(call_id), **source.model_dump(mode="json")})
        return PictureOrigin.model_validate(noted)

    async def attach(self, image: AttachInput) -> AttachResult:
        attached = await self._call("attach", **_image(image.key), **image.model_dump(mode="json", exclude={"key"}))
        return AttachResult.model_validate(attached)

    async def attach_group(self, group: AttachGroupInput) -> Sequence[Attached]:
        answers = await self._call("attach_group", **group.model_dump(mode="json"))
        return [Attached.model_validate(self._of_one(answer)) for answer in answers]

    async def settle(self, key: ImageKey, run_id: str) -> SettledImage:
        return SettledImage.model_validate(await self._call("settle", **_image(key), run_id=run_id, calls=True))

    async def settle_group(self, group: CreditGroupInput) -> Sequence[SettledImage]:
        answers = await self._call("settle_group", **group.model_dump(mode="json"))
        return [SettledImage.model_validate(self._of_one(answer)) for answer in answers]

    async def stage_counts(self, job_id: UUID, stage_index: int) -> StageCounts:
        counts = await self._call("stage_counts", job_id=str(job_id), stage_index=stage_index)
        return StageCounts.model_validate(counts)

    async def delivered_pairs(
        self, job_id: UUID, stage_index: int, after: int, limit: int
    ) -> Sequence[tuple[int, int]]:
        pairs = await self._call(
            "delivered_pairs", job_id=str(job_id), stage_index=stage_index, after=after, limit=limit
        )
        return [(ordinal, attach_id) for ordinal, attach_id in pairs]

    async def _begin(self, attempts: Sequence[dict[str, Any]]) -> Sequence[Any]:
        return [self._or_error(answer) for answer in await self._call("begin_attempts", attempts=attempts)]

    async def _finish(self, ends: Sequence[dict[str, Any]]) -> Sequence[Any]:
        return [self._or_error(answer) for answer in await self._call("finish_attempts", ends=ends)]

    async def _note(self, sources: Sequence[dict[str, Any]]) -> Sequence[Any]:
        return [self._or_error(answer) for answer in await self._call("note_sources", sources=sources)]

    def _or_error(self, answer: dict[str, Any]) -> dict[str, Any] | DarkroomError:
        return self._functions.meaning(answer["code"], answer["message"]) if "code" in answer else answer

    def _of_one(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer for one image of a group, with the reason in words where the database refused it."""
        error = self._or_error(answer)
        if not isinstance(error, DarkroomError):
            return answer
        if isinstance(error, Retryable):
            raise error  # the images that it does not concern answer the same when they are asked again
        return {name: value for name, value in answer.items() if name not in ("code", "message")} | {
            "reason": str(error)
        }


def _image(key: ImageKey) -> dict[str, Any]:
    return key.model_dump(mode="json")
