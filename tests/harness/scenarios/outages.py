"""A disk, records and a provider that fail for a while."""

import asyncio
import random

from darkroom.proof import faults
from darkroom.proof.site import Ordered
from darkroom.proof.stack import Stack
from tests.harness.scenarios.moments import Act, cancel_soon, until_the_middle


def full_disk(folder: str, *, with_kill: bool = False) -> Act:
    """The folder takes no byte more for a while; maybe a worker dies meanwhile, with what it has in memory."""

    async def act(stack: Stack, job: Ordered, rng: random.Random) -> None:
        await until_the_middle(stack, job, rng)
        async with faults.full(stack, stack.home / folder):
            await asyncio.sleep(rng.uniform(6, 15))
            if with_kill:
                worker = rng.choice(stack.workers)
                await faults.kill(stack, worker, unsaved=True)
        if with_kill:
            await faults.restart(stack, worker)

    return act


async def disk_full_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    async with faults.full(stack, stack.home / "files"):
        await asyncio.sleep(rng.uniform(0, 3))
        await cancel_soon(stack, job, rng)
        await asyncio.sleep(rng.uniform(4, 15))


async def records_locked(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    async with faults.locked(stack):
        await asyncio.sleep(rng.uniform(8, 25))


async def records_locked_and_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    async with faults.locked(stack):
        cancelling = asyncio.create_task(stack.steer(job, "cancel"))
        await asyncio.sleep(rng.uniform(8, 15))
    await cancelling


async def records_read_only(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    async with faults.read_only(stack):
        await asyncio.sleep(rng.uniform(5, 12))


async def read_only_kill(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    worker = rng.choice(stack.workers)
    async with faults.read_only(stack):
        await asyncio.sleep(rng.uniform(2, 8))
        await faults.kill(stack, worker)
        await asyncio.sleep(rng.uniform(0, 3))
    await faults.restart(stack, worker)


async def started_read_only(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """All workers are started anew while nobody can write."""
    await until_the_middle(stack, job, rng)
    await faults.kill(stack, *stack.workers)
    async with faults.read_only(stack):
        await faults.restart(stack, *stack.workers)
        await asyncio.sleep(rng.uniform(2, 6))
    for worker in stack.workers:
        if not worker.process.lives:
            # Whoever supervises it does that.
            await faults.restart(stack, worker)


def provider_fails(*kinds: str, seconds: tuple[float, float] = (6, 14), share: float = 0.5) -> Act:
    """Half of the calls, or another share, fail so for a while."""

    async def act(stack: Stack, job: Ordered, rng: random.Random) -> None:
        stack.fail_calls(**{kind: share / len(kinds) for kind in kinds})
        await asyncio.sleep(rng.uniform(*seconds))
        stack.fail_calls()

    return act
