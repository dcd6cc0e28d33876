"""What users and operators do to a job, with and without other trouble."""

import asyncio
import random

from darkroom.proof import faults
from darkroom.proof.site import Ordered
from darkroom.proof.stack import Stack
from tests.harness.scenarios.moments import cancel_soon, restarted, until_the_middle


async def cancel_only(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await cancel_soon(stack, job, rng)


async def kill_and_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    worker = rng.choice(stack.workers)
    first, second = (faults.kill(stack, worker), cancel_soon(stack, job, rng))
    if rng.random() < 0.5:
        await first
        await second
    else:
        await second
        await first
    await faults.restart(stack, worker)


async def stop_and_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    early = rng.random() < 0.5
    if early:
        await cancel_soon(stack, job, rng)
    async with faults.stopped(stack, rng.choice(stack.workers)):
        if not early:
            await cancel_soon(stack, job, rng)
        await asyncio.sleep(rng.uniform(14, 30))


async def kill_cancel_restart(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await kill_and_cancel(stack, job, rng)
    await restarted(stack, job)


async def kill_all_cancel_restart(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await faults.kill(stack, *stack.workers)
    await stack.steer(job, "cancel")
    await faults.restart(stack, *stack.workers)
    await restarted(stack, job)


async def stop_cancel_restart(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """The worker comes back at any time: before the restart, or in the middle of the new run."""
    await until_the_middle(stack, job, rng)
    if rng.random() < 0.5:
        await cancel_soon(stack, job, rng)
    async with faults.stopped(stack, rng.choice(stack.workers)):
        await cancel_soon(stack, job, rng)
        if rng.random() < 0.5:
            await restarted(stack, job)
            await asyncio.sleep(rng.uniform(0, 6))
        else:
            await asyncio.sleep(rng.uniform(14, 30))
    await restarted(stack, job)


async def pause_and_resume(stack: Stack, job: Ordered, rng: random.Random) -> None:
    for _ in range(rng.randint(2, 5)):
        await stack.until_delivered(job, stack.delivered(job) + rng.randint(1, 4))
        if stack.status(job) == "completed":
            return
        await stack.steer(job, "pause")
        await asyncio.sleep(rng.choice((0, 0.2, 3)))
        await stack.steer(job, "resume")


async def temporal_dies_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    if rng.random() < 0.5:
        await stack.steer(job, "cancel")
        await faults.kill_temporal(stack, rng.uniform(0, 12))
    else:
        await faults.kill_temporal(stack, rng.uniform(0, 12))
        await stack.steer(job, "cancel")


async def provider_hangs_and_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    stack.fail_calls(hang=0.2, late=0.2)
    await until_the_middle(stack, job, rng)
    await cancel_soon(stack, job, rng)
    stack.fail_calls()


async def batch_terminated(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await faults.terminate_batch(stack, job, rng)


async def batch_terminated_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await faults.terminate_batch(stack, job, rng)
    await cancel_soon(stack, job, rng)


async def job_terminated(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """Housekeeping closes it, and a restart makes what is missing."""
    await until_the_middle(stack, job, rng)
    await faults.terminate_job(stack, job)
    await restarted(stack, job)


async def cancelled_in_temporal(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await faults.cancel_in_temporal(stack, job)


async def job_reset(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await faults.reset(stack, job, rng)


async def reset_again_and_kill(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await until_the_middle(stack, job, rng)
    await faults.reset(stack, job, rng)
    worker = rng.choice(stack.workers)
    await faults.kill(stack, worker)
    await faults.reset(stack, job, rng)
    await faults.restart(stack, worker)
