"""Plays a run's plan on a plain worker: the same job, the same faults as far as it has a counterpart for them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from uuid import uuid4

from darkroom.domain.names import LOCAL_USER
from darkroom.proof import acts, orders
from darkroom.proof.acts import ENDS_WITHIN
from darkroom.proof.pace import QUICK, kept_busy
from darkroom.proof.plain.account import account_of
from darkroom.proof.plain.records import PRICE
from darkroom.proof.plain.site import PlainSite, running_plain
from darkroom.proof.plans import Plan
from darkroom.proof.runs import CLIENT_LIMIT, Run, kept
from darkroom.proof.site import Ordered, Site
from darkroom.proof.starting import Programs

LEFT_OUT: Mapping[str, str] = {
    "kill_temporal": "it has no Temporal server",
    "stop_temporal": "it has no Temporal server",
    "kill_api": "it has no API of its own",
    "twice": "it has no activities",
    "pause_resume": "it cannot pause",
    "pause_kill": "it cannot pause",
    "cancel_restart": "it cannot restart a job",
    "terminate_batch": "it has no workflows",
    "terminate_restart": "it has no workflows",
    "reset": "it has no workflows",
    "late_worker": "it has no runs that close",
}
"""Faults that a plain worker has no counterpart for, and why."""


async def one_balance(site: PlainSite, job: Ordered, rng: random.Random) -> None:
    """Two jobs at once, of a user who can pay one of them."""
    user_id, total = uuid4(), 12
    site.wallet(user_id, PRICE * total)
    both: list[Ordered] = await asyncio.gather(
        *(
            site.submit({"prompt": f"A lighthouse [{user_id}.{n}]", "quantity": total}, user_id, job_id=uuid4())
            for n in range(2)
        )
    )
    for one in both:
        await site.until_ended(one, ENDS_WITHIN)


COUNTERPARTS: Mapping[str, Callable[[PlainSite, Ordered, random.Random], Awaitable[None]]] = {
    "kill_worker": acts.kill_worker,
    "kill_all": acts.kill_all,
    "stop_worker": acts.stop_worker,
    **{name: act for name, act in acts.FAILING.items() if name not in LEFT_OUT},
    "locked": acts.locked,
    "read_only": acts.read_only,
    "kill_cancel": acts.kill_cancel,
    "one_balance": one_balance,
}
"""The others."""


async def play_plain(plan: Plan, folder: Path, programs: Programs) -> Run:
    """Play a run in a folder of its own, which stays when something did not hold.

    Raises:
        ProofImpossible: a full disk, a missing port or program.
    """

    async def play_it(run: Run, sites: list[Site]) -> None:
        async with running_plain(folder, plan.seed, programs, client_limit=CLIENT_LIMIT, latency=QUICK) as site:
            sites.append(site)
            run.left_out = [name for name in plan.acts if name in LEFT_OUT]
            await _played(site, plan)
            run.too_late = site.too_late
            run.figures, wrong = account_of(site)
            run.violations += wrong

    return await kept(plan, folder, play_it)


async def _played(site: PlainSite, plan: Plan) -> None:
    rng = random.Random(plan.seed)  # noqa: S311 - a plan
    site.wallet(LOCAL_USER)
    org_id = site.wallet(LOCAL_USER, organization=True) if plan.wallet == "organization" else None
    job_id, reference = uuid4(), 1
    document = orders.document(plan.job_type, job_id, plan.pictures, reference, rng)
    user_id = None if plan.wallet == "anonymous" else LOCAL_USER
    job = await site.submit(document, user_id, org_id=org_id, job_id=job_id)
    site.tempo = plan.tempo
    for name in set(plan.acts) & set(LEFT_OUT):
        site.say(f"left out: {name}: {LEFT_OUT[name]}")
    played = [name for name in plan.acts if name not in LEFT_OUT]
    async with kept_busy(site, job, len(played)):
        for name in played:
            await acts.some_more(site, job, rng)
            acts.strikes(site, job, name)
            await COUNTERPARTS[name](site, job, rng)
    for one in site.jobs:
        await site.until_ended(one, ENDS_WITHIN)
