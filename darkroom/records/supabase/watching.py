"""The port's methods for those who watch."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from darkroom.domain.finding import JobState
from darkroom.domain.jobs import JobRow
from darkroom.domain.movement import Movement, RecentCalls
from darkroom.domain.offers import ProviderOffer
from darkroom.domain.snapshots import MOST_FRAMES, DeliveryMark, JobCursor, JobSnapshot, JobSummary
from darkroom.domain.usage import Usage
from darkroom.records.broken_rows import read_of, read_row, readable
from darkroom.records.offers import readable_offers
from darkroom.records.supabase.functions import Part


class SupabaseWatching(Part):
    """A part of `SupabaseRecords`."""

    async def job_page(
        self,
        limit: int,
        *,
        statuses: Collection[JobState] = (),
        user_id: UUID | None = None,
        before: JobCursor | None = None,
        words: Sequence[str] = (),
        day: date | None = None,
    ) -> Sequence[JobSummary]:
        rows = await self._call(
            "find_jobs",
            limit=limit,
            filter=_filter(statuses, words, day) | ({} if user_id is None else {"user_id": str(user_id)}),
            before_created=None if before is None else before.created_at.isoformat(),
            before_id=None if before is None else str(before.job_id),
        )
        return list(readable(rows, partial(read_row, JobSummary)))

    async def found_jobs(
        self, limit: int, *, statuses: Collection[JobState] = (), words: Sequence[str] = (), day: date | None = None
    ) -> Sequence[JobRow]:
        rows = await self._call("find_rows", limit=limit, filter=_filter(statuses, words, day))
        return list(readable(rows, partial(read_row, JobRow)))

    async def snapshot(self, job_id: UUID, after: DeliveryMark | None, limit: int) -> JobSnapshot | None:
        snapshot = await self._call(
            "look",
            job_id=str(job_id),
            after_at=None if after is None else after.delivered_at.isoformat(),
            after_id=None if after is None else after.attach_id,
            limit=limit,
            most_frames=MOST_FRAMES,
        )
        with read_of(job_id):
            return None if snapshot is None else JobSnapshot.model_validate(snapshot)

    async def movement(self, job_id: UUID, since: datetime) -> Movement | None:
        movement = await self._call("movement", job_id=str(job_id), since=since.isoformat())
        return None if movement is None else Movement.model_validate(movement)

    async def recent_calls(self, since: datetime) -> Sequence[RecentCalls]:
        return [RecentCalls.model_validate(one) for one in await self._call("recent_calls", since=since.isoformat())]

    async def offer_providers(self, offer: ProviderOffer, lasts: timedelta) -> None:
        document = offer.model_dump(mode="json")
        await self._call("offer_providers", offer_hash=offer.digest, offer=document, seconds=lasts.total_seconds())

    async def offered_providers(self) -> Sequence[ProviderOffer]:
        return list(readable_offers(await self._call("offered_providers")))

    async def usage(self, user_id: UUID) -> Usage:
        return Usage.model_validate(await self._call("usage", user_id=str(user_id)))


def _filter(statuses: Collection[JobState], words: Sequence[str], day: date | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"words": list(words)}
    if statuses:
        asked["statuses"] = sorted(str(state) for state in statuses)
    if day is not None:
        since = datetime.combine(day, time(), UTC)
        asked["since"] = since.isoformat()
        if day < date.max:
            asked["until"] = (since + timedelta(days=1)).isoformat()
    return asked
