"""Plays one run of a proof: everything up, a job, its faults, and the account at the end."""

import asyncio
import errno
import os
import random
import shutil
import sqlite3
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from httpx import HTTPError
from temporalio.service import RPCError

from darkroom.domain.errors import DarkroomError, ProofImpossible, ServerNotReachable
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.stored import NewReference
from darkroom.proof import checks, orders
from darkroom.proof.acts import ENDS_WITHIN, LAST, ended_and_restarted, play
from darkroom.proof.breaks import BREAK_VARIABLE, unguarded
from darkroom.proof.faults import Unsupported
from darkroom.proof.figures import summary
from darkroom.proof.marks import Mark, drawn
from darkroom.proof.pace import QUICK, kept_busy
from darkroom.proof.plans import Plan
from darkroom.proof.ports import NoPort
from darkroom.proof.site import OPENING_BALANCE, Ordered, Site
from darkroom.proof.stack import Stack
from darkroom.proof.starting import Programs, ServerEnded, running_stack
from darkroom.proof.wrappers import FOLDER_VARIABLE

CLIENT_LIMIT = 6.0
LEAST_ROOM = 64.0
"""Megabytes below which what a run shows would say more of the disk than of Darkroom."""
STORY_FILE = "story.txt"


@dataclass
class Run:
    """What became of a run."""

    plan: Plan
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    folder: str | None = None
    """Kept when something did not hold."""
    left_out: list[str] = field(default_factory=list)
    """Faults of the plan that what is proved has no counterpart for."""
    too_late: list[str] = field(default_factory=list)
    """Faults that came when the job had ended, and broke nothing."""
    parts: dict[str, float] = field(default_factory=dict)
    """Seconds of the start, of the job, and of the checks."""

    @property
    def holds(self) -> bool:
        """Whether all did."""
        return not self.violations

    def document(self) -> dict[str, Any]:
        """As JSON."""
        plan = {**asdict(self.plan), "job_type": self.plan.job_type.value, "acts": list(self.plan.acts)}
        return {**asdict(self), "plan": plan, "holds": self.holds}


async def play_run(plan: Plan, folder: Path, programs: Programs) -> Run:
    """Play a run of Darkroom in a folder of its own, which stays when something did not hold.

    Raises:
        ProofImpossible: a full disk, a missing port or program.
    """
    more = {FOLDER_VARIABLE: str(folder), **({BREAK_VARIABLE: plan.guard} if plan.guard else {})}

    began = time.monotonic()

    async def play_darkroom(run: Run, sites: list[Site]) -> None:
        async with running_stack(
            folder, plan.seed, programs, workers=2, client_limit=CLIENT_LIMIT, latency=QUICK, more=more
        ) as stack:
            sites.append(stack)
            run.parts["start"] = round(time.monotonic() - began, 1)
            await _played(stack, plan, run)

    return await kept(plan, folder, play_darkroom)


async def kept(plan: Plan, folder: Path, play_it: Callable[[Run, list[Site]], Awaitable[None]]) -> Run:
    """Play a run, whatever is proved, in a folder that stays when something did not hold.

    Args:
        plan: what is played.
        folder: a new one.
        play_it: plays it, notes what is wrong, and adds the site as soon as there is one.

    Raises:
        ProofImpossible: a full disk, a missing port or program.
    """
    run, began = Run(plan), time.monotonic()
    sites: list[Site] = []
    os.environ.pop(BREAK_VARIABLE, None)
    try:
        folder.mkdir(parents=True)  # noqa: ASYNC240 - at once
        _check_room(folder)
        await play_it(run, sites)
    except (NoPort, ServerEnded, ServerNotReachable) as error:
        raise ProofImpossible(str(error)) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ProofImpossible(f"the disk of {folder} is full") from None
        run.violations.append(f"{type(error).__name__}: {error}")
    except (AssertionError, DarkroomError, RPCError, HTTPError, sqlite3.Error) as error:
        if not sites:
            raise ProofImpossible(f"what a run needs does not start: {error}") from None
        run.violations.append(f"{type(error).__name__}: {error}")
        (folder / "traceback.txt").write_text(traceback.format_exc(), "utf-8")
    finally:
        os.chdir(folder.parent)
        run.seconds = round(time.monotonic() - began, 1)
    _check_room(folder)
    if run.violations:
        run.folder = str(folder)
        story = [line for site in sites for line in site.story]
        (folder / STORY_FILE).write_text("\n".join([*story, *run.violations]) + "\n", "utf-8")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return run


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free / 2**20
    if free < LEAST_ROOM:
        raise ProofImpossible(f"the disk of {folder.parent} has {free:.0f} MB left: a proof needs at least 64")


async def _played(stack: Stack, plan: Plan, run: Run) -> None:
    rng = random.Random(plan.seed)  # noqa: S311 - a plan
    records, _ = unguarded(stack.parts.records, stack.parts.storage, plan.guard or "", stack.home / "records.db")
    began = time.time()
    stack.late = records  # type: ignore[assignment]  # a wrapper that passes everything on
    job = await _ordered(stack, plan, rng)
    stack.tempo = plan.tempo
    watching = asyncio.create_task(stack.watch())
    try:
        async with kept_busy(stack, job, len(plan.acts)):
            await play(stack, job, plan.acts, rng)
        if not LAST & set(plan.acts):
            await ended_and_restarted(stack, job)
        for one in stack.jobs:
            await stack.until_ended(one, ENDS_WITHIN)
        ended = time.time()
        run.violations += await checks.violations(stack)
        run.violations += checks.integrity(stack)
        run.parts |= {"job": round(ended - began, 1), "checks": round(time.time() - ended, 1)}
    except Unsupported as reason:
        stack.say(f"not played: {reason}")
    finally:
        watching.cancel()
        run.violations += stack.seen_wrong
        run.too_late = stack.too_late
        run.figures = summary(stack)


async def _ordered(stack: Stack, plan: Plan, rng: random.Random) -> Ordered:
    job_id = uuid4()
    user = None if plan.wallet == "anonymous" else LOCAL_USER
    org_id = _organization(stack.home / "records.db", LOCAL_USER) if plan.wallet == "organization" else None
    document = orders.document(plan.job_type, job_id, plan.pictures, await _reference(stack, user), rng)
    job = await stack.submit(document, user, org_id=org_id, job_id=job_id)
    job.ends = None
    return job


async def _reference(stack: Stack, user: UUID | None) -> int:
    data, path = drawn(Mark("0" * 8, 0)), "references/proof.png"
    await stack.parts.storage.put(path, data, "image/png")
    return await stack.parts.records.add_reference(
        NewReference(
            user_id=user,
            original_name="proof.png",
            path=path,
            size=len(data),
            media_type="image/png",
            sha256=sha256(data).hexdigest(),
        )
    )


def _organization(database: Path, member: UUID) -> UUID:
    """One that pays for its member, as front ends keep them."""
    org_id = uuid4()
    with closing(sqlite3.connect(database, timeout=20)) as db, db:
        db.execute(
            "insert into quel_organization (org_id, org_name, org_credit, owner_id, org_status, created_at)"
            " values (?, 'Proof', ?, ?, 'active', '2026-01-01T00:00:00+00:00')",
            (str(org_id), OPENING_BALANCE, str(member)),
        )
        db.execute(
            "insert into quel_organization_member (id, org_id, member_id, role, status)"
            " values (?, ?, ?, 'member', 'active')",
            (str(uuid4()), str(org_id), str(member)),
        )
    return org_id
