"""What happens to a running job in a proof: each act breaks or steers something, and leaves everything mended."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from darkroom.domain.attempts import Attempt, Begin
from darkroom.domain.errors import DarkroomError
from darkroom.domain.images import AttachInput, ImageKey
from darkroom.proof import faults
from darkroom.proof.checks import PRICE
from darkroom.proof.read_only import NotSupported
from darkroom.proof.site import ENDED, Ordered, Site
from darkroom.proof.stack import Stack
from darkroom.proof.waiting import until
from darkroom.proof.wrappers import PORTS_FILE

Act = Callable[[Stack, Ordered, random.Random], Awaitable[None]]
SiteAct = Callable[[Site, Ordered, random.Random], Awaitable[None]]
"""One that any system can be put through."""
ENDS_WITHIN = 150.0
LATE = 900
"""An ordinal that no job of a proof reaches."""


async def some_more(site: Site, job: Ordered, rng: random.Random) -> None:
    """Wait until a few more pictures are delivered, or the job has ended."""
    await site.until_delivered(job, site.delivered(job) + rng.randint(1, max(2, job.total // 8)))


async def ended_and_restarted(stack: Stack, job: Ordered) -> None:
    """Wait for the end, and restart what is short."""
    await stack.until_ended(job, ENDS_WITHIN)
    if stack.delivered(job) < job.total and (await stack.steer(job, "restart", may_refuse=True)).get("success"):

        async def open_again() -> bool:
            return stack.status(job) not in ENDED or stack.delivered(job) == job.total

        await until(open_again, "the restarted job to open", 60)


@asynccontextmanager
async def ports_fail(site: Site, **shares: float) -> AsyncIterator[None]:
    """Let these shares of the calls of a worker's ports fail for a while."""
    _write(site, {name.replace("_", "-"): share for name, share in shares.items()})
    site.say(f"ports fail: {shares}")
    try:
        yield
    finally:
        _write(site, {})
        site.say("ports work again")


def _write(site: Site, shares: dict[str, float]) -> None:
    new = site.folder / "ports.new"
    new.write_text(json.dumps(shares), "utf-8")
    new.replace(site.folder / PORTS_FILE)


async def kill_worker(site: Site, job: Ordered, rng: random.Random) -> None:
    worker = rng.choice(site.workers)
    await faults.kill(site, worker)
    await site.lasts(rng.uniform(0, 2))
    await faults.restart(site, worker)


async def kill_all(site: Site, job: Ordered, rng: random.Random) -> None:
    await faults.kill(site, *site.workers)
    await faults.restart(site, *site.workers)


async def stop_worker(site: Site, job: Ordered, rng: random.Random) -> None:
    async with faults.stopped(site, rng.choice(site.workers)):
        await site.lasts(rng.choice((2, 4, 13)))


async def kill_temporal(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await faults.kill_temporal(stack, rng.uniform(0, 3))


async def stop_temporal(stack: Stack, job: Ordered, rng: random.Random) -> None:
    async with faults.suspended(stack, stack.temporal_server):
        await stack.lasts(rng.uniform(1, 4))


async def kill_api(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await faults.kill_api(stack, rng.uniform(0, 1))


def provider(**shares: float) -> SiteAct:
    """Let these shares of the provider's calls fail for a while."""

    async def act(site: Site, job: Ordered, rng: random.Random) -> None:
        site.fail_calls(**{name.removeprefix("_").replace("_", "-"): share for name, share in shares.items()})
        await site.lasts(rng.uniform(3, 6))
        site.fail_calls()

    return act


def ports(**shares: float) -> SiteAct:
    """Let these shares of the calls of storage and records fail for a while."""

    async def act(site: Site, job: Ordered, rng: random.Random) -> None:
        async with ports_fail(site, **shares):
            await site.lasts(rng.uniform(3, 6))

    return act


async def locked(site: Site, job: Ordered, rng: random.Random) -> None:
    async with faults.locked(site):
        await site.lasts(rng.uniform(2, 12))


async def read_only(site: Site, job: Ordered, rng: random.Random) -> None:
    try:
        async with faults.read_only(site):
            await site.lasts(rng.uniform(2, 5))
    except (NotSupported, faults.Unsupported) as reason:
        site.say(f"not played: {reason}")


async def pause_resume(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await stack.steer(job, "pause", may_refuse=True)
    await asyncio.sleep(rng.choice((0, 0.2, 2)))
    await stack.steer(job, "resume", may_refuse=True)


async def pause_kill(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await stack.steer(job, "pause", may_refuse=True)
    await kill_all(stack, job, rng)
    await stack.steer(job, "resume", may_refuse=True)


async def cancel_restart(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await stack.steer(job, "cancel", may_refuse=True)
    await ended_and_restarted(stack, job)


async def kill_cancel(site: Site, job: Ordered, rng: random.Random) -> None:
    """What is staged, and not known to be, when everybody dies must be delivered by the cancelled job."""
    async with ports_fail(site, storage_unheard=1.0):
        await asyncio.sleep(3)
        await faults.kill(site, *site.workers)
    await site.steer(job, "cancel", may_refuse=True)
    await faults.restart(site, *site.workers)
    await site.until_ended(job, ENDS_WITHIN)


async def terminate_batch(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await faults.terminate_batch(stack, job, rng)


async def terminate_restart(stack: Stack, job: Ordered, rng: random.Random) -> None:
    if stack.status(job) not in ENDED:
        await faults.terminate_job(stack, job)
    await ended_and_restarted(stack, job)


async def reset(stack: Stack, job: Ordered, rng: random.Random) -> None:
    await faults.reset(stack, job, rng)


async def late_worker(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """The job is cancelled; then somebody works on under its closed run, as a worker that was cut off for long."""
    await stack.steer(job, "cancel", may_refuse=True)
    await stack.until_ended(job, ENDS_WITHIN)
    [(run_id,)] = stack.rows("select current_run_id from quel_production_jobs where job_id = ?", str(job.job_id))
    key, call_id = ImageKey(job_id=job.job_id, stage_index=0, ordinal=LATE), uuid4()
    attempt = Attempt(key=key, run_id=run_id, call_id=call_id, round=0, provider="gemini")
    begun = await stack.late_records.begin_attempt(attempt, looked=True)
    if begun.begin is Begin.BEGUN:
        stack.seen_wrong.append("a call was allowed under a closed run")
    image = {"path": "generated-images/late.webp", "size": 1, "sha256": "0" * 64, "seconds": 1.0}
    try:
        await stack.late_records.attach(AttachInput(key=key, run_id=run_id, call_id=call_id, **image))
        settled = await stack.late_records.settle(key, run_id)
        stack.say(f"late settlement: {settled.settlement}")
    except DarkroomError as refused:
        stack.say(f"late settlement: {refused}")


async def one_balance(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """Two jobs at once, of a user who can pay one of them: the other must fail before it costs anything."""
    # Calls stay long until both were opened, or the first would have ended before the other asks for its credits.
    stack.to_come += 1
    user, total = uuid4(), round(12 * stack.tempo)
    await stack.parts.records.ensure_member(user, PRICE * total)
    stack.openings[str(user)] = PRICE * total
    client = stack.parts.client(stack.temporal)
    checked = [await client.check({"prompt": f"A lighthouse [{user}.{n}]", "quantity": total}, user) for n in range(2)]
    submitted = await asyncio.gather(*(client.submit(one) for one in checked))
    both = [Ordered(one.job_id, user, total, ends=None) for one in submitted]
    stack.jobs += both

    async def asked_for_credits() -> bool:
        return all(stack.status(one) != "pending" for one in both)

    await until(asked_for_credits, "both jobs to ask for their credits", ENDS_WITHIN)
    stack.to_come -= 1
    for one in both:
        await stack.until_ended(one, ENDS_WITHIN)


FAILING: dict[str, SiteAct] = {
    "provider_slow": provider(slow=0.5),
    "provider_fails": provider(_500=0.1, _503=0.1, _503_in_200=0.1, nothing=0.1),
    "provider_limits": provider(_429=0.5),
    "provider_refuses": provider(refuse=0.1, miss=0.2),
    "provider_corrupt": provider(base64=0.1, undecodable=0.1, cut=0.1),
    "provider_late": provider(late=0.2, stall=0.1, hang=0.1),
    "provider_twice": provider(twice=0.7),
    "storage_fails": ports(storage_before=0.3, storage_after=0.3),
    "records_full": ports(records_before=0.4),
    "records_unheard": ports(records_after=0.3),
    "twice": ports(twice=0.7),
}
"""Shares of calls that fail for a while."""

ACTS: dict[str, Act] = {
    "kill_worker": kill_worker,
    "kill_all": kill_all,
    "stop_worker": stop_worker,
    "kill_temporal": kill_temporal,
    "stop_temporal": stop_temporal,
    "kill_api": kill_api,
    **FAILING,
    "locked": locked,
    "read_only": read_only,
    "pause_resume": pause_resume,
    "pause_kill": pause_kill,
    "cancel_restart": cancel_restart,
    "kill_cancel": kill_cancel,
    "terminate_batch": terminate_batch,
    "terminate_restart": terminate_restart,
    "reset": reset,
    "late_worker": late_worker,
    "one_balance": one_balance,
}
"""By name, as a plan lists them."""

LAST = frozenset({"kill_cancel", "late_worker"})
"""After these the job has ended."""


def strikes(site: Site, job: Ordered, name: str) -> None:
    """Note that an act begins, and whether it comes too late to break anything."""
    site.say(f"act: {name}")
    site.to_come -= 1
    if site.over(job):
        site.too_late.append(name)


async def play(stack: Stack, job: Ordered, names: tuple[str, ...], rng: random.Random) -> Any:
    """Play acts one after another, each after some more pictures."""
    for name in names:
        await some_more(stack, job, rng)
        strikes(stack, job, name)
        await ACTS[name](stack, job, rng)
