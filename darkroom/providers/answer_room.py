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

SIZE = 40_000_000
"""Bytes of answers as they travel that one process holds at once; see `MOST`."""
MOST = SIZE // 4
"""Bytes that one answer counts for at most: four are read at a time, however large they are."""
LARGE = 8_000_000
"""Bytes of a call's answers whose memory is given back to the system at once."""
PATIENCE = 45.0
"""Seconds after which an answer is read all the same: it is paid for, and servers wait for a minute, as a rule."""


class AnswerRoom(Room):
    """The room that a process has for answers."""

    def __init__(self, size: int = SIZE, patience: float = PATIENCE) -> None:
        super().__init__(size, patience)
        self.expected = MOST
        """Bytes of an answer that does not say how long it is: by the largest of the last few, at first the most."""

    def learn(self, size: int) -> None:
        """Note how long an answer was."""
        self.expected = min(MOST, max(size, self.expected // 2))

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Answers that are read within this keep their room until its end, or until `leave`."""
        held = _Held(self)
        token = _CALL.set(held)
        try:
            yield
        finally:
            _CALL.reset(token)
            held.leave()

    def leave(self) -> None:
        """Give back what the answers of the present call hold: they are needed no longer."""
        if (held := _CALL.get()) is not None:
            held.leave()


class _Held:
    """What the answers of one call hold, and the limits of time that it has."""

    def __init__(self, room: AnswerRoom) -> None:
        self._room = room
        self.bytes = 0
        self.limits: list[asyncio.Timeout] = []

    async def take(self, asked: int | None) -> None:
        """Wait for the room of an answer; without its size, for that of the last ones."""
        began = asyncio.get_running_loop().time()
        ends = [limit.when() for limit in self.limits]
        for limit in self.limits:
            limit.reschedule(None)
        try:
            self.bytes += await self._room.take(min(self._room.expected if asked is None else asked, MOST))
        finally:
            waited = asyncio.get_running_loop().time() - began
            for limit, end in zip(self.limits, ends, strict=True):
                limit.reschedule(None if end is None else end + waited)

    def leave(self) -> None:
        """Give back all that is held."""
        held, self.bytes = self.bytes, 0
        self._room.give_back(held)
        if held >= LARGE:
            give_back_freed()


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
        await held.take(int(length) if length.isdecimal() else None)
