"""What is played: each scenario acts on a running job, and leaves everything running."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tests.harness import faults
from tests.harness.stack import Ordered, Stack
from tests.support.until import until

Act = Callable[[Stack, Ordered, random.Random], Awaitable[None]]
SECOND_USER = UUID("00000000-0000-4000-8000-0000000000b2")


@dataclass(frozen=True)
class Scenario:
    """A plan of faults, and how the job is to end."""

    act: Act
    ends: str = "completed"
    """`completed` is with all that was ordered."""
    small_disk: str | None = None
    """The folder below DARKROOM_HOME ("." for all of it) that is a file system of a few MB."""


async def _middle(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await stack.until_delivered(job, rng.randint(2, max(3, job.total // 2)))


async def kill_one(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    worker = rng.choice(stack.workers)
    await faults.kill(stack, worker)
    await asyncio.sleep(rng.uniform(0, 8))
    await faults.restart(stack, worker)


async def kill_all(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    await faults.kill(stack, *stack.workers)
    await asyncio.sleep(rng.uniform(0, 3))
    await faults.restart(stack, *stack.workers)


async def kill_again_and_again(stack: Stack, job: Ordered, rng: random.Random) -> None:
    for _ in range(3):
        await stack.until_delivered(job, stack.delivered(job) + rng.randint(2, 6))
        worker = rng.choice(stack.workers)
        await faults.kill(stack, worker)
        await faults.restart(stack, worker)


async def stop_one(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    async with faults.stopped(stack, rng.choice(stack.workers)):
        await asyncio.sleep(rng.uniform(14, 30))


async def _cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await asyncio.sleep(rng.uniform(0, 2))
    await stack.steer(job, "cancel")


async def kill_and_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    worker = rng.choice(stack.workers)
    first, second = (faults.kill(stack, worker), _cancel(stack, job, rng))
    if rng.random() < 0.5:
        await first
        await second
    else:
        await second
        await first
    await faults.restart(stack, worker)


async def stop_and_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    early = rng.random() < 0.5
    if early:
        await _cancel(stack, job, rng)
    async with faults.stopped(stack, rng.choice(stack.workers)):
        if not early:
            await _cancel(stack, job, rng)
        await asyncio.sleep(rng.uniform(14, 30))


async def cancel_only(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    await _cancel(stack, job, rng)


async def _restarted(stack: Stack, job: Ordered) -> None:
    await stack.until_ended(job, 150)
    if stack.delivered(job) < job.total:
        await stack.steer(job, "restart")

        async def open_again() -> bool:
            return stack.status(job) not in ("cancelled", "failed", "completed") or stack.delivered(job) == job.total

        await until(open_again, "the restarted job to open", 60)


async def kill_cancel_restart(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await kill_and_cancel(stack, job, rng)
    await _restarted(stack, job)


async def stop_cancel_restart(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """The worker comes back at any time: before the restart, or in the middle of the new run."""
    await _middle(stack, job, rng)
    if rng.random() < 0.5:
        await _cancel(stack, job, rng)
    async with faults.stopped(stack, rng.choice(stack.workers)):
        await _cancel(stack, job, rng)
        if rng.random() < 0.5:
            await _restarted(stack, job)
            await asyncio.sleep(rng.uniform(0, 6))
        else:
            await asyncio.sleep(rng.uniform(14, 30))
    await _restarted(stack, job)


async def temporal_dies(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    await faults.kill_temporal(stack, rng.uniform(0, 12))


async def api_dies(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    await faults.kill_api(stack, rng.uniform(0, 4))


def _full_disk(folder: str, *, with_kill: bool = False) -> Act:
    async def act(stack: Stack, job: Ordered, rng: random.Random) -> None:
        await _middle(stack, job, rng)
        async with faults.full(stack, stack.home / folder):
            await asyncio.sleep(rng.uniform(6, 15))
            if with_kill:
                worker = rng.choice(stack.workers)
                await faults.kill(stack, worker, unsaved=True)
        if with_kill:
            await faults.restart(stack, worker)

    return act


async def records_locked(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    async with faults.locked(stack):
        await asyncio.sleep(rng.uniform(8, 25))


async def records_locked_and_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    async with faults.locked(stack):
        cancelling = asyncio.create_task(stack.steer(job, "cancel"))
        await asyncio.sleep(rng.uniform(8, 15))
    await cancelling


async def records_read_only(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    async with faults.read_only(stack):
        await asyncio.sleep(rng.uniform(5, 12))


async def started_read_only(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """All workers are started anew while nobody can write."""
    await _middle(stack, job, rng)
    await faults.kill(stack, *stack.workers)
    async with faults.read_only(stack):
        await faults.restart(stack, *stack.workers)
        await asyncio.sleep(rng.uniform(2, 6))
    for worker in stack.workers:
        if not worker.process.lives:
            # Whoever supervises it does that.
            await faults.restart(stack, worker)


def _provider(*kinds: str, seconds: tuple[float, float] = (6, 14), share: float = 0.5) -> Act:
    async def act(stack: Stack, job: Ordered, rng: random.Random) -> None:
        stack.fail_calls(**{kind: share / len(kinds) for kind in kinds})
        await asyncio.sleep(rng.uniform(*seconds))
        stack.fail_calls()

    return act


async def provider_hangs_and_cancel(stack: Stack, job: Ordered, rng: random.Random) -> None:
    stack.fail_calls(hang=0.2, late=0.2)
    await _middle(stack, job, rng)
    await _cancel(stack, job, rng)
    stack.fail_calls()


async def provider_fails_and_kill(stack: Stack, job: Ordered, rng: random.Random) -> None:
    stack.fail_calls(**{"hang": 0.1, "503": 0.1, "429": 0.1, "cut": 0.1, "base64": 0.05})
    await kill_one(stack, job, rng)
    stack.fail_calls()


async def pause_and_resume(stack: Stack, job: Ordered, rng: random.Random) -> None:
    for _ in range(rng.randint(2, 5)):
        await stack.until_delivered(job, stack.delivered(job) + rng.randint(1, 4))
        if stack.status(job) == "completed":
            return
        await stack.steer(job, "pause")
        await asyncio.sleep(rng.choice((0, 0.2, 3)))
        await stack.steer(job, "resume")


async def pause_and_kill(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    await stack.steer(job, "pause")
    await faults.kill(stack, *stack.workers)
    resumed = asyncio.create_task(stack.steer(job, "resume")) if rng.random() < 0.5 else None
    await faults.restart(stack, *stack.workers)
    await (resumed or stack.steer(job, "resume"))


async def two_users(stack: Stack, job: Ordered, rng: random.Random) -> None:
    other = await stack.order(rng.randint(6, 14), rng.randint(6, 14), user_id=SECOND_USER)
    await _middle(stack, other, rng)
    worker = rng.choice(stack.workers)
    await faults.kill(stack, worker)
    await faults.restart(stack, worker)


async def batch_terminated(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    await faults.terminate_batch(stack, job, rng)


async def job_reset(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await _middle(stack, job, rng)
    await faults.reset(stack, job, rng)


SCENARIOS: dict[str, Scenario] = {
    "kill-one": Scenario(kill_one),
    "kill-all": Scenario(kill_all),
    "kill-again": Scenario(kill_again_and_again),
    "stop": Scenario(stop_one),
    "cancel": Scenario(cancel_only, "cancelled"),
    "kill-cancel": Scenario(kill_and_cancel, "cancelled"),
    "stop-cancel": Scenario(stop_and_cancel, "cancelled"),
    "kill-cancel-restart": Scenario(kill_cancel_restart),
    "stop-cancel-restart": Scenario(stop_cancel_restart),
    "temporal-dies": Scenario(temporal_dies),
    "api-dies": Scenario(api_dies),
    "disk-full-files": Scenario(_full_disk("files"), small_disk="files"),
    "disk-full-home": Scenario(_full_disk("."), small_disk="."),
    "disk-full-kill": Scenario(_full_disk(".", with_kill=True), small_disk="."),
    "locked": Scenario(records_locked),
    "locked-cancel": Scenario(records_locked_and_cancel, "cancelled"),
    "read-only": Scenario(records_read_only),
    "started-read-only": Scenario(started_read_only),
    "hangs": Scenario(_provider("hang", "stall")),
    "late": Scenario(_provider("late")),
    "twice": Scenario(_provider("twice", share=1.0)),
    "cuts": Scenario(_provider("cut", "nothing", "stall")),
    "busy": Scenario(_provider("500", "503", "503-in-200", "429")),
    "unusable": Scenario(_provider("base64", "undecodable", share=0.4)),
    "hangs-cancel": Scenario(provider_hangs_and_cancel, "cancelled"),
    "fails-kill": Scenario(provider_fails_and_kill),
    "pauses": Scenario(pause_and_resume),
    "pause-kill": Scenario(pause_and_kill),
    "two-users": Scenario(two_users),
    "batch-terminated": Scenario(batch_terminated),
    "reset": Scenario(job_reset),
}


def small_disk(scenario: Scenario, home: Path) -> None:
    """Make the small file system that a scenario asks for."""
    if scenario.small_disk is not None:
        faults.mount_small(home / scenario.small_disk, 24)
