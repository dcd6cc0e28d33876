"""Limits per minute count by the minutes of the clock, and allow one more where a new one begins."""

import time

from tests.support.until import until

MINUTE = 60
NEEDED = 25
"""Seconds of one minute, for what is counted in it on a busy machine."""


async def minute_with_time_left() -> None:
    """Wait, as a rule not at all, until what comes next falls into one minute."""

    async def is_left() -> bool:
        return time.time() % MINUTE < MINUTE - NEEDED

    await until(is_left, "a new minute", 2 * NEEDED)
