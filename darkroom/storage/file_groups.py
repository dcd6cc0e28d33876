"""Calls of the file system for small files, several in one visit to a thread.

A visit costs more than a small file does: the event loop hands the work over and takes its result back, and each
system call gives Python's lock away and waits to get it back. Files that are written to one folder share its sync, too.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from darkroom.gathering import Gatherer, Pace

MOST = 8
"""Calls in one visit."""

MOST_VISITS = 6
"""Visits at the same time."""

PATIENCE = 0.05
"""Seconds after which nobody waits any longer for a visit: it is slow, or stuck."""

INTERVAL, AT_ONCE = 0.03, 8
"""How often a visit begins that has room for more, where there are many."""

Found: TypeAlias = bytes | None


class Call(NamedTuple):
    """One call, which reads or writes one small file."""

    work: Callable[[], Found]
    folder: Path | None = None
    """Where it writes; the new entry survives a power cut when the call has ended."""


class FileGroups:
    """The calls of one storage. Safe to use from several event loops."""

    def __init__(self) -> None:
        self._gatherers: WeakKeyDictionary[asyncio.AbstractEventLoop, Gatherer[Call, Found]] = WeakKeyDictionary()

    async def run(self, call: Call) -> Found:
        """What one call finds, off the event loop.

        Raises:
            OSError: of its work, or of the sync of its folder.
        """
        loop = asyncio.get_running_loop()
        gatherer = self._gatherers.get(loop)
        if gatherer is None:
            pace = Pace(INTERVAL, AT_ONCE)
            gatherer = Gatherer(_visit, most_together=MOST, most_calls=MOST_VISITS, patience=PATIENCE, pace=pace)
            self._gatherers[loop] = gatherer
        return await gatherer.ask(call)


async def _visit(calls: Sequence[Call]) -> Sequence[Found | Exception]:
    return await asyncio.to_thread(_done, calls)


def _done(calls: Sequence[Call]) -> list[Found | Exception]:
    ended = [(_outcome(call.work), call.folder) for call in calls]
    written = {folder for end, folder in ended if folder is not None and not isinstance(end, Exception)}
    synced = {folder: _outcome(partial(sync_folder, folder)) for folder in written}
    return [end if isinstance(end, Exception) or folder is None else synced[folder] for end, folder in ended]


def _outcome(work: Callable[[], Found]) -> Found | Exception:
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
