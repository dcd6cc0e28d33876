"""What is new of a job: one reading of the records now and then serves everybody who follows it."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from time import monotonic
from typing import NamedTuple
from uuid import UUID

import structlog
from fastapi.sse import format_sse_event

from darkroom.api.public_urls import PublicUrls
from darkroom.api.shapes import ImageView, JobView, StageView
from darkroom.api.shared_readings import SentTogether, SharedReadings
from darkroom.api.told_stages import ToldStage, of_stage, with_retry
from darkroom.api.views import image_view, job_view, read_by
from darkroom.domain.errors import JobNotFound
from darkroom.domain.movement import PACE_OVER, Movement, Retried, with_movement
from darkroom.domain.progress import Progress, StageProgress, eta_seconds
from darkroom.domain.snapshots import (
    MOST_FRAMES,
    DeliveryMark,
    Frame,
    JobSnapshot,
    Picture,
    place,
)
from darkroom.fair_queue import elsewhere
from darkroom.records.watching import WatchRecords

log = structlog.get_logger(__name__)

EVERY = 0.4
"""Seconds between readings while somebody follows: a picture is sent well within a second of its delivery."""
SHARE = 0.2
"""At most this share of the time is spent reading, so that a large job is read less often."""
PAGE = 500
END = ".end"
"""Follows the number in the id of the last event, so that a client that has it is told apart from one that has not."""
SAY_TIME_LEFT_EVERY = 5.0
"""Seconds: the time left grows while nothing arrives."""


class Surroundings(NamedTuple):
    """What every feed of a process works with."""

    records: WatchRecords
    temporal_ui: Callable[[UUID], str | None]
    """The page of a job in the Temporal Web UI."""
    without_worker: Callable[[], tuple[str, ...]]
    """The task queues that no worker serves, as far as it is known; answers at once."""
    stalled_after: timedelta


class JobFeed:
    """One job, for all its followers."""

    def __init__(self, job_id: UUID, around: Surroundings) -> None:
        self._job_id = job_id
        self._records = around.records
        self._around = around
        self._pictures: list[Picture] = []
        self._positions: list[int | None] = []
        self._mark: DeliveryMark | None = None
        self._recent: deque[datetime] = deque()
        self._encoded: dict[tuple[str, int], bytes] = {}
        """By prefix of the URLs and by index."""
        self._epoch: int | None = None
        self._snapshot: JobSnapshot | None = None
        self._progress: Progress | None = None
        """The snapshot's, with what the attempts' rows, the clock and the task queues tell."""
        self._trouble: tuple[object, ...] = ()
        self._stages: dict[int, ToldStage] = {}
        self._news = asyncio.Condition()
        self._readings = SharedReadings[None]()
        self._together = SentTogether()
        self._delivered: dict[int, list[int]] = {}
        self._placements: dict[int, tuple[Mapping[int, int], tuple[Frame, ...]]] = {}
        self.version = 0
        """Grows with every change."""
        self.followers = 0
        self._closed = False
        self.first: asyncio.Task[None] | None = None
        """The first reading, for which everybody waits who comes before its end."""

    @property
    def known(self) -> int:
        """How many delivered pictures it knows."""
        return len(self._pictures)

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self._snapshot is not None and self._snapshot.progress.status.ended

    @property
    def completed_at(self) -> datetime | None:
        """When the job ended; None while it has not."""
        return None if self._snapshot is None else self._snapshot.completed_at

    @property
    def closed(self) -> bool:
        """Whether nothing more will be sent; clients that still follow ask for the feed again."""
        return self._closed

    @property
    def end_id(self) -> str:
        """The id of the event that ends the stream: the number of pictures, and that nothing follows them."""
        return f"{self.known}{END}"

    async def refresh(self) -> None:
        """Read the job once, for everybody who asks meanwhile.

        Raises:
            JobNotFound: there is no such job.
            RecordsUnavailable: the records do not answer.
        """
        await self._readings.get(None, self._read)

    async def _read(self) -> None:
        arrived: list[Picture] = []
        mark = self._mark
        while True:
            snapshot = await self._records.snapshot(self._job_id, mark, PAGE)
            if snapshot is None:
                raise JobNotFound(f"job {self._job_id} does not exist")
            arrived += snapshot.pictures
            if snapshot.pictures:
                last = snapshot.pictures[-1]
                mark = DeliveryMark(delivered_at=last.delivered_at, attach_id=last.attach_id)
            if len(snapshot.pictures) < PAGE:
                break
        now = datetime.now(UTC)
        unfinished = not snapshot.progress.status.ended
        # After the snapshot: what is delivered meanwhile is not retried any more, and not the other way round.
        movement = await self._records.movement(self._job_id, now - PACE_OVER) if unfinished else None
        # Only with what is behind it: a reading that fails before is made again as a whole.
        self._mark = mark
        self._take(snapshot, arrived, movement, now)
        async with self._news:
            self._news.notify_all()

    def job(self, urls: PublicUrls) -> JobView:
        """The job as it was last read, without ids."""
        assert self._snapshot is not None, "refresh() comes first"
        assert self._progress is not None
        self._forget_long_ago()
        progress = self._progress
        shown = progress.model_copy(
            update={
                # The row may trail by a second; a picture that was sent is never taken back.
                "completed_images": max(self.known, progress.completed_images),
                "eta_seconds": self._eta(),
            }
        )
        of_job = urls.job(self._job_id, self._around.temporal_ui(self._job_id))
        return job_view(shown, self._snapshot, "records", of_job, self._per_minute())

    def stages(self) -> list[StageView]:
        """Its stages with their frames."""
        return [told.view for told in self._stages.values()]

    def images(self, after: int, limit: int, urls: PublicUrls, stage: int | None = None) -> list[ImageView]:
        """Its pictures in the order they came, above a number; those of one stage alone."""
        job = self._snapshot
        price = 0 if job is None or job.user_id is None else job.unit_price or 0
        every = range(after, self.known)
        chosen = every if stage is None else (index for index in every if self._pictures[index].stage_index == stage)
        return [
            image_view(self._pictures[index], index + 1, self._positions[index], price, urls)
            for index in islice(chosen, limit)
        ]

    async def changed(self, since: int, seconds: float) -> bool:
        """Wait for news after the version `since`, so long at most; whether there are any. The feed's end is news."""
        try:
            async with elsewhere(), asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: self.version > since or self._closed)
        except TimeoutError:
            return False
        return True

    def image_events(self, sent: int, limit: int, urls: PublicUrls) -> list[bytes]:
        """The next pictures for a follower who has `sent` of them."""
        return [self._image_event(index, urls) for index in range(sent, min(self.known, sent + limit))]

    def events(self, sent: int, since: int, urls: PublicUrls, *, operator: bool) -> bytes:
        """What to send to a follower who has `sent` pictures and everything up to version `since`."""
        of_now = self.version, urls.addresses.epoch
        return self._together.get(
            of_now, (sent, since, urls.prefix, operator), lambda: self._events(sent, since, urls, operator=operator)
        )

    def _events(self, sent: int, since: int, urls: PublicUrls, *, operator: bool) -> bytes:
        number = str(self.known)
        events = self.image_events(sent, self.known, urls)
        changed = (told for told in self._stages.values() if told.version > since)
        events += [told.event(number, operator=operator) for told in changed]
        view = read_by(self.job(urls), operator=operator).model_dump_json()
        events.append(format_sse_event(data_str=view, event="progress", id=number))
        if self.ended:
            events.append(format_sse_event(data_str=view, event="end", id=self.end_id))
        return b"".join(events)

    async def close(self) -> None:
        """Release everybody who waits."""
        self._closed = True
        async with self._news:
            self._news.notify_all()

    def pause_between_readings(self, took: float) -> float:
        """How long to wait before the next reading, after one that took so many seconds."""
        return max(EVERY, took * (1 - SHARE) / SHARE)

    def _take(self, snapshot: JobSnapshot, arrived: list[Picture], movement: Movement | None, now: datetime) -> None:
        before, self._snapshot = self._snapshot, snapshot.model_copy(update={"pictures": ()})
        self._progress = snapshot.progress
        if movement is not None:
            lacking = self._around.without_worker()
            self._progress = with_movement(snapshot.progress, movement, now, self._around.stalled_after, lacking)
        retried = {(one.stage_index, one.ordinal): one for one in (movement.retried if movement else ())}
        trouble = self._clock_tells(retried)
        if before == self._snapshot and not arrived and trouble == self._trouble:
            return
        self._trouble = trouble
        for picture in arrived:
            self._delivered.setdefault(picture.stage_index, []).append(picture.ordinal)
        self._recent.extend(picture.delivered_at for picture in arrived)
        came_in = {picture.stage_index for picture in arrived}
        for stage in self._progress.stages:
            index = stage.stage_index
            if stage.quantity > MOST_FRAMES:
                self._note_stage(stage, None)
                continue
            tried = of_stage(snapshot, index)
            if index not in self._placements or index in came_in or before is None or tried != of_stage(before, index):
                found = place(stage.quantity, self._delivered.get(index, ()), tried)
                self._placements[index] = found.positions, found.frames
            self._note_stage(stage, tuple(with_retry(index, frame, retried) for frame in self._placements[index][1]))
        if snapshot.deleted_at is not None:
            arrived, self._pictures, self._positions = [], [], []
        self._pictures += arrived
        self._positions += [self._position(picture) for picture in arrived]
        self.version += 1

    def _clock_tells(self, retried: Mapping[tuple[int, int], Retried]) -> tuple[object, ...]:
        """What followers have to be told although the job's rows are the same."""
        assert self._progress is not None
        self._forget_long_ago()
        left = self._eta()
        every = None if left is None else int(monotonic() / SAY_TIME_LEFT_EVERY)
        kept = self._progress.model_copy(update={"eta_seconds": None})
        calls = tuple((key, one.attempt, one.reason) for key, one in retried.items())
        return kept.stalled, kept.failing, kept.without_worker, calls, every, bool(self._recent)

    def _position(self, picture: Picture) -> int | None:
        placed = self._placements.get(picture.stage_index)
        return None if placed is None else placed[0].get(picture.ordinal)

    def _note_stage(self, stage: StageProgress, frames: tuple[Frame, ...] | None) -> None:
        view = StageView(**stage.model_dump(), frames=frames)
        known = self._stages.get(stage.stage_index)
        if known is None or known.view != view:
            self._stages[stage.stage_index] = ToldStage(self.version + 1, view)

    def _image_event(self, index: int, urls: PublicUrls) -> bytes:
        if urls.addresses.epoch != self._epoch:
            # Signed URLs expire; those sent from now on are fresh.
            self._epoch = urls.addresses.epoch
            self._encoded.clear()
        event = self._encoded.get((urls.prefix, index))
        if event is None:
            [image] = self.images(index, 1, urls)
            event = format_sse_event(data_str=image.model_dump_json(), event="image", id=str(index + 1))
            self._encoded[urls.prefix, index] = event
        return event

    def _forget_long_ago(self) -> None:
        """Pace and time left are those of now: a job may have been paused for days."""
        now = datetime.now(UTC)
        while self._recent and now - self._recent[0] > PACE_OVER:
            self._recent.popleft()

    def _per_minute(self) -> float | None:
        if not self._recent or self.ended:
            return None
        over = max((datetime.now(UTC) - self._recent[0]).total_seconds(), 1.0)
        return round(len(self._recent) * 60 / over, 1)

    def _eta(self) -> float | None:
        assert self._progress is not None
        progress = self._progress
        still = progress.status.ended or progress.paused or progress.cancel_requested or progress.keeps_still
        if still or not self._recent:
            return None
        elapsed = (datetime.now(UTC) - self._recent[0]).total_seconds()
        return eta_seconds(len(self._recent), progress.total_images - self.known, elapsed)
