"""The feeds of this process: one a job that is followed, however many follow it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from uuid import UUID

import structlog

from darkroom.api.job_feed import EVERY, JobFeed, Surroundings
from darkroom.domain.errors import Retryable

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
            if feed.version == 0:
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
        """The first reading; of those who come together, the first one reads and the others wait."""
        async with feed.beginning:
            if feed.version == 0:
                try:
                    await feed.refresh()
                except BaseException:
                    self._forget(job_id, feed)
                    raise
                task = asyncio.create_task(self._watch(job_id, feed))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if self._closing:
            await feed.close()

    async def _watch(self, job_id: UUID, feed: JobFeed) -> None:
        alone_since: float | None = None
        pause = EVERY
        try:
            while alone_since is None or monotonic() - alone_since < LINGER:
                await asyncio.sleep(pause)
                alone_since = None if feed.followers else alone_since or monotonic()
                started = monotonic()
                try:
                    await feed.refresh()
                    pause = feed.pause_between_readings(monotonic() - started)
                except Retryable as error:
                    log.warning("job cannot be read", job_id=str(job_id), reason=str(error))
                    pause = AFTER_TROUBLE
        finally:
            # Whatever ended it: followers come back, and get the rest from a feed that reads.
            self._forget(job_id, feed)
            await feed.close()

    def _forget(self, job_id: UUID, feed: JobFeed) -> None:
        if self._feeds.get(job_id) is feed:
            del self._feeds[job_id]
