"""Processes that die or stand still."""

import asyncio
import random
from contextlib import AsyncExitStack
from uuid import UUID

from darkroom.proof import faults
from darkroom.proof.site import Ordered
from darkroom.proof.stack import Stack
from darkroom.proof.starting import start_temporal
from tests.harness.scenarios.moments import until_the_middle

SECOND_USER = UUID("00000000-0000-4000-8000-0000000000b2")


async def kill_one(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    worker = rng.choice(stack.workers)
    await faults.kill(stack, worker)
    await asyncio.sleep(rng.uniform(0, 8))
    await faults.restart(stack, worker)


async def kill_all(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await faults.kill(stack, *stack.workers)
    await asyncio.sleep(rng.uniform(0, 3))
    await faults.restart(stack, *stack.workers)


async def kill_again_and_again(stack: Stack, job: Ordered, rng: random.Random) -> None:
    for _ in range(3):
        await stack.until_delivered(job, stack.delivered(job) + rng.randint(2, 6))
        worker = rng.choice(stack.workers)
        await faults.kill(stack, worker)
        await faults.restart(stack, worker, wait=False)


async def stop_one(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    async with faults.stopped(stack, rng.choice(stack.workers)):
        await asyncio.sleep(rng.uniform(14, 30))


async def stop_all(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    async with AsyncExitStack() as back:
        for worker in stack.workers:
            await back.enter_async_context(faults.stopped(stack, worker))
        await asyncio.sleep(rng.uniform(14, 30))


async def stop_one_kill_another(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    first, second = rng.sample(stack.workers, 2)
    async with faults.stopped(stack, first):
        await asyncio.sleep(rng.uniform(0, 12))
        await faults.kill(stack, second)
        await asyncio.sleep(rng.uniform(2, 12))
    await faults.restart(stack, second)


async def temporal_dies(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await faults.kill_temporal(stack, rng.uniform(0, 12))


async def temporal_and_worker_die(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    worker = rng.choice(stack.workers)
    await stack.temporal_server.kill()
    stack.say("killed Temporal")
    await asyncio.sleep(rng.uniform(0, 2))
    await faults.kill(stack, worker)
    await start_temporal(stack.temporal_server, stack.parts.settings)
    await faults.restart(stack, worker)


async def api_dies(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await faults.kill_api(stack, rng.uniform(0, 4))


async def two_users(stack: Stack, job: Ordered, rng: random.Random) -> None:
    other = await stack.order(rng.randint(6, 14), rng.randint(6, 14), user_id=SECOND_USER)
    await until_the_middle(stack, other, rng)
    worker = rng.choice(stack.workers)
    await faults.kill(stack, worker)
    await faults.restart(stack, worker)


async def pause_and_kill(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await stack.steer(job, "pause")
    await faults.kill(stack, *stack.workers)
    resumed = asyncio.create_task(stack.steer(job, "resume")) if rng.random() < 0.5 else None
    await faults.restart(stack, *stack.workers)
    await (resumed or stack.steer(job, "resume"))


async def provider_fails_and_kill(stack: Stack, job: Ordered, rng: random.Random) -> None:
    stack.fail_calls(**{"hang": 0.1, "503": 0.1, "429": 0.1, "cut": 0.1, "base64": 0.05})
    await kill_one(stack, job, rng)
    stack.fail_calls()
