"""Activities that take long stay visible to the server, and finish what is paid for."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from temporalio import activity

T = TypeVar("T")

AFTER_SHUTDOWN = 1.0
"""Seconds at most that a pause lasts once the worker stops: long enough not to hammer what is away."""

HEARTBEAT_EVERY = 3.0
"""Seconds; the server gives a silent activity up after 10."""


async def finish_despite_cancel(work: "asyncio.Task[T]", on_cancel: Callable[[], None] | None = None) -> T:
    """Wait for `work` with heartbeats, whatever is cancelled meanwhile.

    A cancel (of the job, and then once more when the worker shuts down) must not drop a provider call
    that is in progress: it is paid for. `on_cancel` is called, so that work which has not begun can stop.
    """
    while True:
        try:
            await asyncio.wait({work}, timeout=HEARTBEAT_EVERY)
        except asyncio.CancelledError:
            if on_cancel is not None:
                on_cancel()
        if work.done():
            return work.result()
        # Only now: work that is quick needs no heartbeat, and each one is a call to the server.
        activity.heartbeat()


async def pause(seconds: float) -> bool:
    """Wait inside an activity; ends early, and says so, when its worker is told to stop."""
    try:
        async with asyncio.timeout(seconds):
            await activity.wait_for_worker_shutdown()
    except TimeoutError:
        return False
    await asyncio.sleep(min(seconds, AFTER_SHUTDOWN))
    return True
