"""Room in memory for what is large: whoever comes when it is full waits, in the order of coming."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple


class Room:
    """The room that a process has, given in the order in which it was asked for.

    Args:
        size: in bytes; what is larger has all of it for itself.
        patience: seconds that anybody waits at most; then there is room all the same.
    """

    def __init__(self, size: int, patience: float) -> None:
        self._size = self._free = size
        self._patience = patience
        self._waiting: deque[_Waiting] = deque()

    @asynccontextmanager
    async def holding(self, asked: int) -> AsyncIterator[None]:
        """Wait for so many bytes, and keep them until the end."""
        taken = await self.take(asked)
        try:
            yield
        finally:
            self.give_back(taken)

    async def take(self, asked: int) -> int:
        """Wait for room; how much was taken."""
        wanted = min(asked, self._size)
        if wanted <= self._free and not self._waiting:
            self._free -= wanted
            return wanted
        mine = _Waiting(wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        try:
            await asyncio.wait((mine.turn,), timeout=self._patience)
            if not mine.turn.done():
                self._waiting.remove(mine)
                self._free -= wanted
                self._admit()
        except asyncio.CancelledError:
            if mine.turn.done():
                self.give_back(wanted)
            else:
                self._waiting.remove(mine)
                self._admit()
            raise
        return wanted

    def give_back(self, freed: int) -> None:
        """Give back what `take` took."""
        self._free += freed
        self._admit()

    def _admit(self) -> None:
        """Let those in whose turn it is, as far as there is room."""
        while self._waiting and self._waiting[0].wanted <= self._free:
            first = self._waiting.popleft()
            self._free -= first.wanted
            first.turn.set_result(None)


class _Waiting(NamedTuple):
    wanted: int
    turn: asyncio.Future[None]
