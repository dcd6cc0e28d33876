"""What those share who ask for the same at the same time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from darkroom.fair_queue import elsewhere

T = TypeVar("T")

MOST_DIFFERENT = 8
"""States in which followers of one job may be; those who keep up are all in one."""


class SharedReadings(Generic[T]):
    """One reading after the other of each thing, and everybody who asks during one shares the next.

    Not the one that is in progress: what somebody has just changed would be missing there.
    """

    def __init__(self) -> None:
        self._reading: dict[Hashable, asyncio.Task[T]] = {}
        self._next: dict[Hashable, asyncio.Task[T]] = {}
        self._waiting: Counter[asyncio.Task[T]] = Counter()

    async def get(self, what: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """What is read by the next reading of this; it goes on for as long as one waits who asked."""
        following = self._next.get(what)
        if following is None or following.cancelling():
            following = self._next[what] = asyncio.create_task(self._read(what, read))
            following.add_done_callback(retrieve)
        self._waiting[following] += 1
        try:
            async with elsewhere():
                return await asyncio.shield(following)
        finally:
            self._waiting[following] -= 1
            if not self._waiting[following]:
                del self._waiting[following]
                following.cancel()
                _forget(self._next, what, following)

    async def _read(self, what: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        before = self._reading.get(what)
        if before is not None:
            await asyncio.wait([before])
        this = self._reading[what] = self._next.pop(what)
        try:
            return await read()
        finally:
            _forget(self._reading, what, this)


def _forget(tasks: dict[Hashable, asyncio.Task[T]], what: Hashable, task: asyncio.Task[T]) -> None:
    if tasks.get(what) is task:
        del tasks[what]


def retrieve(task: "asyncio.Task[object]") -> None:
    """Its error was told to those who waited, if anybody still did."""
    if not task.cancelled():
        task.exception()


class SentTogether:
    """What followers in the same state are sent, made once for all of them."""

    def __init__(self) -> None:
        self._version: Hashable = None
        self._made: dict[Hashable, bytes] = {}

    def get(self, version: Hashable, state: Hashable, make: Callable[[], bytes]) -> bytes:
        """What is sent in a state; that of an earlier version is forgotten."""
        if version != self._version or len(self._made) >= MOST_DIFFERENT:
            self._version, self._made = version, {}
        made = self._made.get(state)
        if made is None:
            made = self._made[state] = make()
        return made
