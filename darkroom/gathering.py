"""Calls that wait while one is in progress go together in the next (group commit); one that is alone goes at once."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from darkroom.domain.errors import DarkroomError

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


FEW = 2
"""So few who waited need not have waited: they ask one after another, or seldom."""


class Pace:
    """How often something begins that serves many: at once where it is rare, once in each interval where it is not.

    Args:
        interval: seconds.
        at_once: how many may begin one after another, where none has begun for a while.
    """

    def __init__(self, interval: float, at_once: int = 1) -> None:
        self._interval = interval
        self._ahead = interval * (at_once - 1)
        self._due = 0.0

    def wait(self) -> float:
        """Seconds until the next may begin; 0 for now."""
        return max(0.0, self._due - self._ahead - time.monotonic())

    def begin(self) -> None:
        """One begins. If that is out of turn, the next still waits for no more than an interval."""
        now = time.monotonic()
        self._due = min(max(self._due, now), now + self._ahead) + self._interval

    def waited_for(self, number: int) -> None:
        """One that waited is about to begin, for so many; if they are few, as many may begin at once again."""
        if number <= FEW:
            self._due = 0.0


class Paced:
    """Calls a function soon after it is asked to, once for all who asked meanwhile; for several event loops.

    Args:
        function: what is called.
        pace: how often.
    """

    def __init__(self, function: Callable[[], object], pace: Pace) -> None:
        self._function = function
        self._pace = pace
        self._timers: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Handle] = WeakKeyDictionary()
        self._asked = 0
        self._stopped = False

    def ask(self) -> None:
        """Have it called, at once or by this event loop; at once when it was stopped."""
        loop = asyncio.get_running_loop()
        self._asked += 1
        if loop in self._timers:
            return
        if not self._stopped and (wait := self._pace.wait()):
            self._timers[loop] = loop.call_later(wait, self._on_time, loop)
        else:
            self._call()

    def stop(self) -> None:
        """Call it no more for those who asked before."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _on_time(self, loop: asyncio.AbstractEventLoop) -> None:
        del self._timers[loop]
        self._pace.waited_for(self._asked)
        self._call()

    def _call(self) -> None:
        self._asked = 0
        self._pace.begin()
        self._function()


class Gatherer(Generic[Asked, Answer]):
    """Asks for many in one call, and gives each its own answer.

    A second call begins while another is in progress only when a full one waits, or when that one takes long.

    Args:
        send: the call; gives an answer, or an error, for each in their order. What it raises is everybody's.
        most_together: how many go in one call.
        most_calls: how many calls are in progress at once.
        patience: seconds after which a call takes long.
        pace: how often a call begins that is not full.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]],
        *,
        most_together: int,
        most_calls: int,
        patience: float,
        pace: Pace | None = None,
    ) -> None:
        self._send = send
        self._most_together = most_together
        self._most_calls = most_calls
        self._patience = patience
        self._pace = pace or Pace(0.0)
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        self._timer_of: asyncio.AbstractEventLoop | None = None
        self._ends_at = 0.0

    async def ask(self, asked: Asked) -> Answer:
        """The answer to this one. Whoever stops waiting takes nothing from the others."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if len(self._waiting) >= self._most_together:
            self._begin_call()
        elif not self._calls:
            self._begin_in_turn()
        self._begin_within(self._patience)
        return await answer

    def _begin_in_turn(self) -> None:
        if wait := self._pace.wait():
            self._begin_within(wait)
        else:
            self._begin_call()

    def _begin_within(self, seconds: float) -> None:
        loop, ends_at = asyncio.get_running_loop(), time.monotonic() + seconds
        if self._timer is None or self._timer_of is not loop or self._ends_at > ends_at:
            self._stop_timer()
            self._timer_of, self._ends_at = loop, ends_at
            self._timer = loop.call_later(seconds, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._pace.waited_for(len(self._waiting))
        self._begin_call()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin_call(self) -> None:
        if len(self._calls) < self._most_calls:
            self._pace.begin()
            # The task takes what waits when it runs, so that what is asked in the same turn of the loop goes along.
            call = asyncio.create_task(self._call())
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._waiting and not call.cancelled():
            self._begin_in_turn()

    def _take(self) -> list[tuple[Asked, asyncio.Future[Answer]]]:
        """The next ones who still wait."""
        self._stop_timer()
        taken: list[tuple[Asked, asyncio.Future[Answer]]] = []
        while self._waiting and len(taken) < self._most_together:
            asked, answer = self._waiting.popleft()
            if not answer.done():
                taken.append((asked, answer))
        if self._waiting:
            self._begin_within(self._patience)
        return taken

    async def _call(self) -> None:
        taken = self._take()
        if not taken:
            return
        try:
            answers = await self._send([asked for asked, _ in taken])
            for (_, waiting), answer in zip(taken, answers, strict=True):
                _give(waiting, answer)
        except Exception as error:  # noqa: BLE001 - raised by everybody who waits for it
            for _, waiting in taken:
                _give(waiting, error)
        finally:
            for _, waiting in taken:
                waiting.cancel()  # the loop is being closed; who has an answer keeps it


def _give(waiting: asyncio.Future[Answer], answer: Answer | Exception) -> None:
    if waiting.done():
        return
    if isinstance(answer, Exception):
        waiting.set_exception(_own(answer) if isinstance(answer, DarkroomError) else answer)
    else:
        waiting.set_result(answer)


def _own(error: DarkroomError) -> DarkroomError:
    """The same error for one of several who raise it: each adds its own way to the traceback."""
    own: DarkroomError = type(error).__new__(type(error), *error.args)
    own.__dict__.update(error.__dict__)
    own.__cause__ = error.__cause__
    own.__suppress_context__ = error.__suppress_context__
    return own
