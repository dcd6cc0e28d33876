"""Keeps a job in progress until the last fault of its plan has struck: what breaks an ended job breaks nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from darkroom.proof.site import Ordered, Site

QUICK = 0.05, 0.5
"""Seconds of a call, from and to, when nothing is to come any more."""
EACH = 7.0
"""Seconds that a fault takes, with the wait before it."""
LONGEST = 4.0
"""Seconds of a call: with the spread, below the limit of the client."""
SPREAD = 0.25
AT_ONCE = 4
"""Calls in progress at the least, before any has been seen."""
EVERY = 0.25


@asynccontextmanager
async def kept_busy(site: Site, job: Ordered, acts: int) -> AsyncIterator[None]:
    """Let the provider's calls take as long as the faults that are to come need, and no longer than that."""
    site.to_come = acts
    keeping = asyncio.create_task(_keep(site, job))
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def _keep(site: Site, job: Ordered) -> None:
    while site.to_come > 0:
        at_once = sum(call.ended is None for call in site.account.calls.values())
        site.pace(*seconds_of_a_call(site.to_come * site.tempo, job.total - site.delivered(job), at_once))
        await asyncio.sleep(EVERY)
    site.pace(*QUICK)


def seconds_of_a_call(faults: float, remaining: int, at_once: int) -> tuple[float, float]:
    """From and to how many seconds a call takes, so that what remains lasts as long as the faults.

    Args:
        faults: how many are to come, those that are short counted as parts.
        remaining: pictures.
        at_once: calls in progress.
    """
    mean = min(LONGEST, faults * EACH * max(at_once, AT_ONCE) / max(1, remaining))
    return max(QUICK[0], mean * (1 - SPREAD)), max(QUICK[1], mean * (1 + SPREAD))
