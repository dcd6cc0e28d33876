"""What scenarios are made of: when something happens, and what users do."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from darkroom.proof.site import ENDED, Ordered
from darkroom.proof.stack import Stack
from tests.support.until import until

Act = Callable[[Stack, Ordered, random.Random], Awaitable[None]]
"""Acts on a running job, and leaves everything running."""


async def until_the_middle(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """Wait until some of the pictures are delivered."""
    await stack.until_delivered(job, rng.randint(2, max(3, job.total // 2)))


async def cancel_soon(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """Cancel within two seconds."""
    await asyncio.sleep(rng.uniform(0, 2))
    await stack.steer(job, "cancel")


async def restarted(stack: Stack, job: Ordered) -> None:
    """Wait for the end, and restart what is short."""
    await stack.until_ended(job, 150)
    if stack.delivered(job) < job.total:
        await stack.steer(job, "restart")

        async def open_again() -> bool:
            return stack.status(job) not in ENDED or stack.delivered(job) == job.total

        await until(open_again, "the restarted job to open", 60)
