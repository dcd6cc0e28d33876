"""How a proof, and every test, waits: for a condition, never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 20) -> float:
    """Wait for a condition that only reading can tell; gives the seconds it took.

    The longer the wait, the less often it is read: what takes 20 s is read some 230 times, not 2,000 times.
    """
    started = time.monotonic()
    try:
        async with asyncio.timeout(seconds) as limit:
            while not await condition():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(min(0.1, max(0.01, (time.monotonic() - started) / 10)))
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"waited {seconds} s in vain for: {what}") from None
    return time.monotonic() - started
