"""Calls that wait while one is in progress go together in the next (group commit); one that is alone goes at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from darkroom.domain.errors import DarkroomError

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Gatherer(Generic[Asked, Answer]):
    """Asks for many in one call, and gives each its own answer.

    A second call begins while another is in progress only when a full one waits, or when that one takes long.

    Args:
        send: the call; gives an answer, or an error, for each in their order. What it raises is everybody's.
        most_together: how many go in one call.
        most_calls: how many calls are in progress at once.
        patience: seconds after which a call takes long.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]],
        *,
        most_together: int,
        most_calls: int,
        patience: float,
    ) -> None:
        self._send = send
        self._most_together = most_together
        self._most_calls = most_calls
        self._patience = patience
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._overdue: asyncio.TimerHandle | None = None

    async def ask(self, asked: Asked) -> Answer:
        """The answer to this one. Whoever stops waiting takes nothing from the others."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if not self._calls or len(self._waiting) >= self._most_together:
            self._begin_call()
        self._be_patient()
        return await answer

    def _be_patient(self) -> None:
        if self._overdue is None:
            self._overdue = asyncio.get_running_loop().call_later(self._patience, self._lose_patience)

    def _lose_patience(self) -> None:
        self._overdue = None
        self._begin_call()

    def _begin_call(self) -> None:
        if len(self._calls) < self._most_calls:
            # The task takes what waits when it runs, so that what is asked in the same turn of the loop goes along.
            call = asyncio.create_task(self._call())
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._waiting and not call.cancelled():
            self._begin_call()

    def _take(self) -> list[tuple[Asked, asyncio.Future[Answer]]]:
        """The next ones who still wait."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        taken: list[tuple[Asked, asyncio.Future[Answer]]] = []
        while self._waiting and len(taken) < self._most_together:
            asked, answer = self._waiting.popleft()
            if not answer.done():
                taken.append((asked, answer))
        if self._waiting:
            self._be_patient()
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
