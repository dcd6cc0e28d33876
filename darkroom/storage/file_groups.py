"""Calls of the file system for small files, several in one visit to a thread.

A visit costs more than a small file does: the event loop hands the work over and takes its result back, and each
system call gives Python's lock away and waits to get it back. So the first call goes at once, what comes while it is on
its way goes together, and files that are written to one folder share the sync of that folder. None waits for company,
and none waits long for a visit that is slow.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

MOST = 8
"""Calls in one visit."""

ENOUGH = 4
"""Calls for which another visit begins beside those under way."""

PATIENCE = 0.05
"""Seconds after which it begins for fewer: the one under way is slow, or stuck."""

MOST_VISITS = 6
"""Visits at the same time."""

Found: TypeAlias = bytes | None
Ended: TypeAlias = Found | BaseException


class FileGroups:
    """The calls of one storage. Safe to use from several event loops."""

    def __init__(self) -> None:
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()

    async def run(self, work: Callable[[], Found], folder: Path | None = None) -> Found:
        """What one call finds, off the event loop.

        Args:
            work: it reads or writes one small file.
            folder: where it writes; when this ends, the new entry survives a power cut.

        Raises:
            OSError: of `work`, or of the sync of its folder.
        """
        loop = asyncio.get_running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = _Queue()
        call = _Call(work, folder, loop.create_future())
        queue.add(loop, call)
        return await call.done


class _Call(NamedTuple):
    work: Callable[[], Found]
    folder: Path | None
    done: "asyncio.Future[Found]"


class _Queue:
    """The calls of one event loop; it holds none itself, so that it goes when the loop does."""

    def __init__(self) -> None:
        self._waiting: deque[_Call] = deque()
        self._visits = 0
        self._is_due = False
        self._is_timed = False

    def add(self, loop: asyncio.AbstractEventLoop, call: _Call) -> None:
        self._waiting.append(call)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._begin, loop)  # with what the other tasks of this round of the loop bring

    def _begin(self, loop: asyncio.AbstractEventLoop, enough: int = ENOUGH) -> None:
        self._is_due = False
        while self._waiting and (not self._visits or (self._visits < MOST_VISITS and len(self._waiting) >= enough)):
            group = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            group = [call for call in group if not call.done.done()]  # nobody waits for the others any more
            if group:
                self._visit(loop, group)
        if self._waiting and not self._is_timed:
            self._is_timed = True
            loop.call_later(PATIENCE, self._lose_patience, loop)

    def _lose_patience(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_timed = False
        self._begin(loop, enough=1)

    def _visit(self, loop: asyncio.AbstractEventLoop, group: list[_Call]) -> None:
        try:
            visit = loop.run_in_executor(None, _done, [(call.work, call.folder) for call in group])
        except RuntimeError as error:  # the loop ends, and its threads have ended
            _tell(group, [error] * len(group))
            return
        self._visits += 1
        visit.add_done_callback(partial(self._end, loop, group))

    def _end(self, loop: asyncio.AbstractEventLoop, group: list[_Call], visit: "asyncio.Future[list[Ended]]") -> None:
        self._visits -= 1
        if visit.cancelled():
            _tell(group, [RuntimeError("the threads of this event loop have ended")] * len(group))
        elif (error := visit.exception()) is not None:
            _tell(group, [error] * len(group))
        else:
            _tell(group, visit.result())
        self._begin(loop)


def _tell(group: Sequence[_Call], outcomes: Sequence[Ended]) -> None:
    for call, outcome in zip(group, outcomes, strict=True):
        if call.done.done():
            continue
        if isinstance(outcome, BaseException):
            call.done.set_exception(outcome)
        else:
            call.done.set_result(outcome)


def _done(calls: Sequence[tuple[Callable[[], Found], Path | None]]) -> list[Ended]:
    ended = [(_outcome(work), folder) for work, folder in calls]
    written = {folder for end, folder in ended if folder is not None and not isinstance(end, BaseException)}
    synced = {folder: _outcome(partial(sync_folder, folder)) for folder in written}
    return [end if isinstance(end, BaseException) or folder is None else synced[folder] for end, folder in ended]


def _outcome(work: Callable[[], Found]) -> Ended:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whoever waits for it raises it
        return error


def sync_folder(folder: Path) -> None:
    """Let what was renamed into a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
