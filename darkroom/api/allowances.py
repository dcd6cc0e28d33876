"""What each caller may do: so many changes a minute, so many things at once, so many wrong keys."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from enum import StrEnum
from time import time
from typing import Any
from uuid import uuid4

import structlog
from fastapi.responses import StreamingResponse
from limits import RateLimitItem
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from starlette.types import Receive, Scope, Send

from darkroom.api.problems import Problem
from darkroom.api.sign_in import Caller
from darkroom.api_limits import ApiLimits
from darkroom.counting import Leasing
from darkroom.domain.errors import DarkroomError

log = structlog.get_logger(__name__)

LEASE = 30.0
"""Seconds after which what a dead process held is free again; a live one renews three times as often."""
RETRY_AFTER = 5


class Held(StrEnum):
    """What a caller may have so many of at once."""

    STREAM = "open event streams"
    WAIT = "requests that wait for a job"
    ARCHIVE = "archive downloads"
    UPLOAD = "uploads"
    ORDER = "large requests"


_UNCOUNTABLE = (sqlite3.Error, OSError, DarkroomError)
"""What leases fail with. A limit that cannot be counted must not stop what it limits."""


class Allowance:
    """How often something may happen in a while."""

    def __init__(self, limit: RateLimitItem, what: str, storage: Storage) -> None:
        self._limit = limit
        self._what = what
        self._window = SlidingWindowCounterRateLimiter(storage)

    async def spend(self, who: str) -> None:
        """Count one.

        Raises:
            Problem: 429, above the limit.
        """
        try:
            counted = await self._window.hit(self._limit, self._what, who)
        except StorageError as error:
            _not_counted(error.storage_error)
            return
        if not counted:
            raise await self._exceeded(who)

    async def ensure(self, who: str) -> None:
        """Count nothing, and refuse above the limit.

        Raises:
            Problem: 429.
        """
        if not await self._window.test(self._limit, self._what, who):
            raise await self._exceeded(who)

    async def note(self, who: str) -> None:
        """Count one, whether or not there is one left."""
        await self._window.hit(self._limit, self._what, who)

    async def _exceeded(self, who: str) -> Problem:
        stats = await self._window.get_window_stats(self._limit, self._what, who)
        wait = max(1, round(stats.reset_time - time()))
        window = self._limit.GRANULARITY.name
        return too_many(f"rate limit exceeded: {self._limit.amount:,} {self._what} per {window}", wait)


class Leases:
    """What callers have at once, counted over all processes that share the counters."""

    def __init__(self, counters: Leasing, limits: ApiLimits) -> None:
        self._counters = counters
        self._most: Mapping[Held, int] = {
            Held.STREAM: limits.api_streams_per_user,
            Held.WAIT: limits.api_waits_per_user,
            Held.ARCHIVE: limits.api_archives_per_user,
            Held.UPLOAD: limits.api_uploads_per_user,
            Held.ORDER: limits.api_large_requests_per_user,
        }

    @asynccontextmanager
    async def held(self, kind: Held, caller: Caller) -> AsyncIterator[None]:
        """Count one for as long as the context lasts.

        Raises:
            Problem: 429, the caller has as many as they may have.
        """
        lease_id, holder, most = uuid4().hex, str(caller.user_id), self._most[kind]
        try:
            taken = await self._counters.lease(lease_id, kind.name, holder, most, LEASE)
        except _UNCOUNTABLE as error:
            _not_counted(error)
            taken = True
        if not taken:
            raise too_many(f"the limit of {most} {kind} per user is reached", RETRY_AFTER)
        renewing = asyncio.create_task(self._renew(lease_id, kind, holder))
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(*_UNCOUNTABLE):
                await asyncio.shield(self._counters.release(lease_id))

    async def _renew(self, lease_id: str, kind: Held, holder: str) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            with suppress(*_UNCOUNTABLE):
                await self._counters.renew(lease_id, kind.name, holder, LEASE)


class HeldResponse(StreamingResponse):
    """A stream that counts for as long as it is being sent. One too many is a problem, and no broken stream."""

    def __init__(self, lease: AbstractAsyncContextManager[None], content: Any, **options: Any) -> None:
        super().__init__(content, **options)
        self._lease = lease

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._lease:
            await super().__call__(scope, receive, send)


def _not_counted(error: Exception) -> None:
    log.warning("limits cannot be counted", reason=str(error))


def too_many(what: str, wait: int) -> Problem:
    """That a limit is reached."""
    return Problem(429, f"{what}; try again in {wait} s", retryable=True, headers={"Retry-After": str(wait)})
