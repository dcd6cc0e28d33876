"""The feeds of this process: one a job that is followed, however many follow it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from time import monotonic
from uuid import UUID

import structlog

from darkroom.api.job_feed import EVERY, JobFeed, Surroundings
from darkroom.api.shared_readings import retrieve
from darkroom.domain.errors import Retryable
from darkroom.fair_queue import elsewhere, who_asks

log = structlog.get_logger(__name__)

AFTER_TROUBLE = 2.0
LINGER = 5.0
"""Seconds that a feed outlives its last follower: one who reloads a page finds it warm."""


class Feeds:
    """The feeds of this process: one a job that is followed."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._feeds: dict[UUID, JobFeed] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._watched: Counter[Hashable] = Counter()
        """How many feeds there are of each user's."""

    @asynccontextmanager
    async def following(self, job_id: UUID) -> AsyncIterator[JobFeed]:
        """The job's feed, read again and again while the context lasts; it has been read once.

        Raises:
            JobNotFound: there is no such job.
            RecordsUnavailable: the records do not answer.
        """
        feed = self._feeds.get(job_id)
        if feed is None:
            feed = self._feeds[job_id] = JobFeed(job_id, self._around)
        feed.followers += 1
        try:
            await self._begin(job_id, feed)
            yield feed
        finally:
            feed.followers -= 1

    async def once(self, job_id: UUID) -> JobFeed:
        """The job's feed, freshly read, for one response."""
        async with self.following(job_id) as feed:
            await feed.refresh()
            return feed

    async def close(self) -> None:
        """End every stream: the server stops."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        for feed in list(self._feeds.values()):
            await feed.close()

    async def _begin(self, job_id: UUID, feed: JobFeed) -> None:
        """Wait for the first reading. It goes on for the others when one who waits goes away."""
        if feed.first is None:
            feed.first = asyncio.create_task(self._read_first(job_id, feed))
            feed.first.add_done_callback(retrieve)
            self._keep(feed.first)
        async with elsewhere():
            await asyncio.shield(feed.first)
        if self._closing:
            await feed.close()

    async def _read_first(self, job_id: UUID, feed: JobFeed) -> None:
        try:
            await feed.refresh()
        except BaseException:
            self._forget(job_id, feed)
            raise
        self._keep(asyncio.create_task(self._watch(job_id, feed)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, job_id: UUID, feed: JobFeed) -> None:
        alone_since: float | None = None
        pause = EVERY
        whose = who_asks()
        self._watched[whose] += 1
        try:
            while alone_since is None or monotonic() - alone_since < LINGER:
                await asyncio.sleep(pause)
                alone_since = None if feed.followers else alone_since or monotonic()
                started = monotonic()
                try:
                    await feed.refresh()
                    # All feeds of a user together are read for a share of the time.
                    pause = feed.pause_between_readings((monotonic() - started) * self._watched[whose])
                except Retryable as error:
                    log.warning("job cannot be read", job_id=str(job_id), reason=str(error))
                    pause = AFTER_TROUBLE
        finally:
            self._watched[whose] -= 1
            if not self._watched[whose]:
                del self._watched[whose]
            # Whatever ended it: followers come back, and get the rest from a feed that reads.
            self._forget(job_id, feed)
            await feed.close()

    def _forget(self, job_id: UUID, feed: JobFeed) -> None:
        if self._feeds.get(job_id) is feed:
            del self._feeds[job_id]
