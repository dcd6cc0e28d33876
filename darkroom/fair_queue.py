"""A queue in which users take turns: who asks for much waits behind themselves, and not others behind them."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar

_asking: ContextVar[Hashable | None] = ContextVar("asking", default=None)
_turn: ContextVar["Turn | None"] = ContextVar("turn", default=None)


def work_for(whose: Hashable) -> None:
    """Say for whom this task works from now on, and every task that it starts."""
    _asking.set(whose)


def who_asks() -> Hashable | None:
    """For whom this task works; None for nobody in particular."""
    return _asking.get()


@asynccontextmanager
async def elsewhere() -> AsyncIterator[None]:
    """Wait for what is done elsewhere, without the turn of this task's request: others work meanwhile."""
    turn = _turn.get()
    if turn is None:
        yield
        return
    turn.leave()
    try:
        yield
    except asyncio.CancelledError:
        turn.stay_away()
        raise
    except BaseException:
        await turn.come_back()
        raise
    await turn.come_back()


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
        await self.take(whose)
        try:
            yield
        finally:
            self.give_back(whose)

    async def take(self, whose: Hashable) -> None:
        """Wait for a place, which has to be given back."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(whose, deque()).append(place)
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give_back(whose)
            else:
                self._forget(whose, place)
            raise

    def give_back(self, whose: Hashable) -> None:
        """Give a place to whoever is next."""
        self._working[whose] -= 1
        if not self._working[whose]:
            del self._working[whose]
        self._admit()
        if whose not in self._waiting and whose not in self._working:
            del self._served[whose]

    def turn_of_who_asks(self) -> AbstractAsyncContextManager[None]:
        """The same for whoever `work_for` named. What no user asked for waits for no turn."""
        whose = who_asks()
        return nullcontext() if whose is None else self.turn(whose)

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

    def _forget(self, whose: Hashable, place: asyncio.Future[None]) -> None:
        places = self._waiting.get(whose)
        if places is not None and place in places:
            places.remove(place)
            if not places:
                del self._waiting[whose]
                if whose not in self._working:
                    self._served.pop(whose, None)


class Turn:
    """One request's place in a queue, which it gives back whenever it waits for something else."""

    def __init__(self, queue: FairQueue, whose: Hashable) -> None:
        self._queue = queue
        self._whose = whose
        self._held = False
        self._taking = asyncio.Lock()
        self._away = 0
        """How many of the request's tasks wait for something else."""
        self._over = False

    async def begin(self) -> None:
        """Take the place, for this task and those that it starts."""
        _turn.set(self)
        await self._take()

    def end(self) -> None:
        """Give the place back for good."""
        self._over = True
        self._give_back()

    def leave(self) -> None:
        """Give the place back for a while."""
        self._away += 1
        self._give_back()

    async def come_back(self) -> None:
        """Take it again, as soon as nothing else is waited for."""
        self._away -= 1
        await self._take()

    def stay_away(self) -> None:
        """Wait for nothing any more, and take no place for it."""
        self._away -= 1

    async def _take(self) -> None:
        async with self._taking:
            if self._held or not self._is_wanted():
                return
            await self._queue.take(self._whose)
            self._held = True
            if not self._is_wanted():
                self._give_back()

    def _is_wanted(self) -> bool:
        return not self._away and not self._over

    def _give_back(self) -> None:
        if self._held:
            self._held = False
            self._queue.give_back(self._whose)
