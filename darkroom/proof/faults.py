"""What can be done to a running Darkroom: each breaks one thing, and mends it again."""

import asyncio
import random
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from darkroom.domain.names import HOUSEKEEPING_SCHEDULE, job_workflow_id
from darkroom.proof.processes import Process, Worker
from darkroom.proof.read_only import NotSupported, unwritable
from darkroom.proof.recovery import Outage
from darkroom.proof.site import ENDED, Ordered, Site
from darkroom.proof.stack import Stack
from darkroom.proof.starting import start_temporal, until_serving
from darkroom.proof.waiting import until

REASON = "by hand, in a proof"
IN_PROGRESS = "select call_id from quel_generation_attempts where outcome is null"
STEERED = "select 1 from quel_production_jobs where paused or cancel_requested"


class Unsupported(Exception):
    """This machine cannot play the scenario."""


async def kill(site: Site, *workers: Worker, unsaved: bool = False) -> None:
    """SIGKILL; `unsaved` when their disk is full."""
    for worker in workers:
        await worker.process.kill()
    site.say(f"killed {', '.join(worker.process.name for worker in workers)}")
    site.kills += len(workers)
    site.interrupted |= {call for (call,) in site.rows(IN_PROGRESS)}
    site.excuse(*workers, killed=True, unsaved=unsaved)


async def restart(site: Site, *workers: Worker, wait: bool = True) -> None:
    """Start workers that were killed."""
    began = time.time()
    await asyncio.gather(*(worker.start(wait=wait) for worker in workers))
    site.say(f"started {', '.join(worker.process.name for worker in workers)}")
    if not any(site.rows(STEERED)):
        site.outages.append(Outage(began, frozenset(site.interrupted)))
    site.interrupted = set()


@asynccontextmanager
async def stopped(site: Site, worker: Worker) -> AsyncIterator[None]:
    """SIGSTOP, and SIGCONT at the end: what it had begun may be made by others meanwhile."""
    worker.process.stop()
    site.say(f"stopped {worker.process.name}")
    site.excuse(worker)
    try:
        yield
    finally:
        worker.process.go_on()
        site.say(f"{worker.process.name} goes on")


@asynccontextmanager
async def suspended(site: Site, process: Process) -> AsyncIterator[None]:
    """SIGSTOP of what makes no calls, and SIGCONT at the end."""
    process.stop()
    site.say(f"stopped {process.name}")
    try:
        yield
    finally:
        process.go_on()
        site.say(f"{process.name} goes on")


async def kill_temporal(stack: Stack, seconds: float) -> None:
    """SIGKILL of the server, which comes back after a while."""
    await stack.temporal_server.kill()
    stack.kills += 1
    stack.say("killed Temporal")
    await asyncio.sleep(seconds)
    await start_temporal(stack.temporal_server, stack.parts.settings)
    stack.say("started Temporal")


async def kill_api(stack: Stack, seconds: float) -> None:
    """SIGKILL of the API, which comes back after a while."""
    await stack.api.kill()
    stack.kills += 1
    stack.say("killed the API")
    await asyncio.sleep(seconds)
    await stack.api.start()
    await until_serving(stack)


def mount_small(folder: Path, megabytes: int) -> None:
    """A small file system of its own; it goes with this process's mounts.

    Raises:
        Unsupported: not as this user.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(  # noqa: S603 - our own words
        [  # noqa: S607 - found on PATH
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={megabytes}m",
            "darkroom-proof",
            str(folder),
        ],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        raise Unsupported(f"mount is refused: {mounted.stderr.decode().strip()}")


@asynccontextmanager
async def full(site: Site, folder: Path) -> AsyncIterator[None]:
    """Nothing more can be written below the folder, which must be a small file system."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    site.say(f"disk is full: {folder.name}")
    try:
        yield
    finally:
        ballast.unlink()
        site.say("disk has room again")


@asynccontextmanager
async def locked(site: Site) -> AsyncIterator[None]:
    """Somebody else writes to the records for long."""
    db = sqlite3.connect(site.home / "records.db", isolation_level=None, timeout=30)
    db.execute("begin immediate")
    site.say("records are locked")
    try:
        yield
    finally:
        db.rollback()
        db.close()
        site.say("records are free")


@asynccontextmanager
async def read_only(site: Site) -> AsyncIterator[None]:
    """Nobody can write to the records, root included; who opens them now gets SQLITE_READONLY for its writes."""
    try:
        with unwritable(site.home / "records.db", site.home / "records.db-wal"):
            site.say("records are read-only")
            yield
    except NotSupported as reason:
        raise Unsupported(str(reason)) from None
    finally:
        site.say("records can be written again")


async def _told(stack: Stack, request: Awaitable[object]) -> None:
    """Send what an operator asks of Temporal; an execution may have ended meanwhile."""
    try:
        await request
    except RPCError as error:
        stack.say(f"Temporal: {error.message[:200]}")


async def terminate_batch(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """Terminate one of the job's running children by hand."""
    name = job_workflow_id(job.job_id)
    query = f"ExecutionStatus='Running' AND WorkflowId STARTS_WITH '{name}/stage-'"
    running = [found.id async for found in stack.temporal.list_workflows(query)]
    if not running:
        stack.say("no batch to terminate")
        return
    chosen = rng.choice(sorted(running))
    await _told(stack, stack.temporal.get_workflow_handle(chosen).terminate(reason=REASON))
    stack.say(f"terminated {chosen.removeprefix(name)}")
    stack.excuse()


async def terminate_job(stack: Stack, job: Ordered) -> None:
    """Terminate the job's workflow by hand, and let housekeeping find that."""
    await _told(stack, stack.temporal.get_workflow_handle(job_workflow_id(job.job_id)).terminate(reason=REASON))
    stack.say("terminated the job's workflow")
    stack.excuse()

    async def noticed() -> bool:
        if stack.status(job) in ENDED:
            return True
        await stack.temporal.get_schedule_handle(HOUSEKEEPING_SCHEDULE).trigger()
        await asyncio.sleep(1)
        return False

    await until(noticed, "housekeeping to close the terminated job", 60)


async def cancel_in_temporal(stack: Stack, job: Ordered) -> None:
    """As the button in the Web UI does."""
    await _told(stack, stack.temporal.get_workflow_handle(job_workflow_id(job.job_id)).cancel())
    stack.say("cancelled in Temporal")


async def reset(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """Reset the job's workflow to one of its earlier points by hand."""
    handle = stack.temporal.get_workflow_handle(job_workflow_id(job.job_id))
    if (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
        stack.say("nothing to reset")
        return
    points = [
        event.event_id
        async for event in handle.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    point = rng.choice(points)
    request = ResetWorkflowExecutionRequest(
        namespace=stack.temporal.namespace,
        workflow_execution=WorkflowExecution(workflow_id=job_workflow_id(job.job_id)),
        workflow_task_finish_event_id=point,
        reason=REASON,
        request_id=str(uuid4()),
    )
    await _told(stack, stack.temporal.workflow_service.reset_workflow_execution(request))
    stack.say(f"reset to event {point} of {points[-1]}")
    stack.excuse()
