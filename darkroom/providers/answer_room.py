"""Answers are read when there is room for them: calls that end together would otherwise fill the memory together.

An answer of 20 MB costs several times that while the SDK takes it apart. Until its turn comes it waits with the
provider, and in the buffers of its connection.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import httpx2

from darkroom.allocator import give_back_freed
from darkroom.room import Room

SIZE = 48_000_000
"""Bytes of answers as they travel that one process holds at once; see `MOST`."""
MOST = SIZE // 4
"""Bytes that one answer counts for at most: four are read at a time, however large they are."""
UNKNOWN = 4_000_000
"""Bytes of an answer that does not say how long it is."""
LARGE = 8_000_000
"""Bytes of a call's answers whose memory is given back to the system at once."""
PATIENCE = 60.0
"""Seconds after which an answer is read all the same: it is paid for, and the provider will not wait for ever."""


class AnswerRoom(Room):
    """The room that a process has for answers."""

    def __init__(self, size: int = SIZE, patience: float = PATIENCE) -> None:
        super().__init__(size, patience)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Answers that are read within this keep their room until its end."""
        held = _Held(self)
        token = _CALL.set(held)
        try:
            yield
        finally:
            _CALL.reset(token)
            self.give_back(held.bytes)
            if held.bytes >= LARGE:
                give_back_freed()


class _Held:
    """What the answers of one call hold, and the limits of time that it has."""

    def __init__(self, room: AnswerRoom) -> None:
        self._room = room
        self.bytes = 0
        self.limits: list[asyncio.Timeout] = []

    async def take(self, asked: int) -> None:
        began = asyncio.get_running_loop().time()
        ends = [limit.when() for limit in self.limits]
        for limit in self.limits:
            limit.reschedule(None)
        try:
            self.bytes += await self._room.take(min(asked, MOST))
        finally:
            waited = asyncio.get_running_loop().time() - began
            for limit, end in zip(self.limits, ends, strict=True):
                limit.reschedule(None if end is None else end + waited)


_CALL: ContextVar[_Held | None] = ContextVar("answers of this call", default=None)


@asynccontextmanager
async def at_most(seconds: float) -> AsyncIterator[None]:
    """Limit a call of a provider; the time in which its answer waits for room does not count.

    Raises:
        TimeoutError: it took longer.
    """
    held = _CALL.get()
    async with asyncio.timeout(seconds) as limit:
        if held is not None:
            held.limits.append(limit)
        try:
            yield
        finally:
            if held is not None:
                held.limits.remove(limit)


async def wait_for_room(response: httpx2.Response) -> None:
    """Called with the head of each answer, before its body is read."""
    if (held := _CALL.get()) is not None:
        length = response.headers.get("content-length", "")
        await held.take(int(length) if length.isdecimal() else UNKNOWN)
