"""Ctrl-C and SIGTERM: the first requests a stop, the second does not wait for it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from cli.statuses import Status

T = TypeVar("T")


class Stop:
    """Set by the first Ctrl-C or SIGTERM; the second ends the process at once.

    Args:
        at_once: stops what must not be left behind, such as a server of ours; called before the exit.
    """

    def __init__(self, at_once: Callable[[], None] | None = None) -> None:
        self.requested = asyncio.Event()
        self.at_once = at_once

    def listen(self) -> None:
        """Handle both signals on the running event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)

    async def within(self, seconds: float) -> bool:
        """Wait this long at most; whether a stop was requested meanwhile."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.requested.wait(), seconds)
        return self.requested.is_set()

    async def wait_for(self, ready: Coroutine[Any, Any, T]) -> T | None:
        """Wait for a result, but no longer than until a stop is requested; then, None."""
        waiting = asyncio.create_task(ready)
        stopping = asyncio.create_task(self.requested.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            stopping.cancel()

    def _on_signal(self) -> None:
        if not self.requested.is_set():
            self.requested.set()
            return
        if self.at_once is not None:
            self.at_once()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(Status.INTERRUPTED)


def end_process(pid: int) -> None:
    """Ask a process to end, if it is there."""
    with suppress(OSError):
        os.kill(pid, signal.SIGTERM)
