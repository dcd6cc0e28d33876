"""How tests wait: for a condition, never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 20) -> float:
    """Wait for a condition that only reading can tell; gives the seconds it took."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(seconds) as limit:
            while not await condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"waited {seconds} s in vain for: {what}") from None
    return time.monotonic() - started
