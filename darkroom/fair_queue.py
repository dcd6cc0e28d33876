"""A queue in which users take turns: who asks for much waits behind themselves, and not others behind them."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class FairQueue:
    """Lets so many work at once. A free place goes to whoever was served longest ago, and then to their oldest wish.

    Args:
        at_once: how many work at the same time.
        each: how many of them may be one user's.
    """

    def __init__(self, at_once: int, each: int) -> None:
        self._at_once = at_once
        self._each = each
        self._working: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self._served: dict[Hashable, int] = {}
        """The number of the last turn of each user who works or waits."""
        self._turns = 0

    @asynccontextmanager
    async def turn(self, whose: Hashable) -> AsyncIterator[None]:
        """Wait for a place, and have it for as long as the context lasts."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(whose, deque()).append(place)
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave(whose)
            else:
                self._forget(whose, place)
            raise
        try:
            yield
        finally:
            self._leave(whose)

    def _admit(self) -> None:
        while self._working.total() < self._at_once:
            may = [user for user in self._waiting if self._working[user] < self._each]
            if not may:
                return
            whose = min(may, key=lambda user: self._served.get(user, 0))
            place = self._waiting[whose].popleft()
            if not self._waiting[whose]:
                del self._waiting[whose]
            if not place.cancelled():
                self._turns += 1
                self._served[whose] = self._turns
                self._working[whose] += 1
                place.set_result(None)

    def _leave(self, whose: Hashable) -> None:
        self._working[whose] -= 1
        if not self._working[whose]:
            del self._working[whose]
        self._admit()
        if whose not in self._waiting and whose not in self._working:
            del self._served[whose]

    def _forget(self, whose: Hashable, place: asyncio.Future[None]) -> None:
        places = self._waiting.get(whose)
        if places is not None and place in places:
            places.remove(place)
            if not places:
                del self._waiting[whose]
                if whose not in self._working:
                    self._served.pop(whose, None)
