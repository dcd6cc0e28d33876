"""What can be done to a running Darkroom: each breaks one thing, and mends it again."""

import asyncio
import os
import random
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from darkroom.domain.names import HOUSEKEEPING_SCHEDULE, job_workflow_id
from tests.harness.processes import Worker
from tests.harness.stack import ENDED, Ordered, Stack, until_serving
from tests.support.commands import run
from tests.support.programs import temporal_binary
from tests.support.read_only import NotSupported, unwritable
from tests.support.until import until


class Unsupported(Exception):
    """This machine cannot play the scenario."""


async def kill(stack: Stack, *workers: Worker, unsaved: bool = False) -> None:
    """SIGKILL; `unsaved` when their disk is full."""
    for worker in workers:
        await worker.process.kill()
    stack.say(f"killed {', '.join(worker.process.name for worker in workers)}")
    stack.excuse(*workers, killed=True, unsaved=unsaved)


async def restart(stack: Stack, *workers: Worker, wait: bool = True) -> None:
    """Start workers that were killed."""
    await asyncio.gather(*(worker.start(wait=wait) for worker in workers))
    stack.say(f"started {', '.join(worker.process.name for worker in workers)}")


@asynccontextmanager
async def stopped(stack: Stack, worker: Worker) -> AsyncIterator[None]:
    """SIGSTOP, and SIGCONT at the end: what it had begun may be made by others meanwhile."""
    worker.process.stop()
    stack.say(f"stopped {worker.process.name}")
    stack.excuse(worker)
    try:
        yield
    finally:
        worker.process.go_on()
        stack.say(f"{worker.process.name} goes on")


async def kill_temporal(stack: Stack, seconds: float) -> None:
    """SIGKILL of the server, which comes back after a while."""
    await stack.temporal_server.kill()
    stack.say("killed Temporal")
    await asyncio.sleep(seconds)
    await stack.temporal_server.start()
    stack.say("started Temporal")


async def kill_api(stack: Stack, seconds: float) -> None:
    """SIGKILL of the API, which comes back after a while."""
    await stack.api.kill()
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
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "harness", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        raise Unsupported(f"mount is refused: {mounted.stderr.decode().strip()}")


@asynccontextmanager
async def full(stack: Stack, folder: Path) -> AsyncIterator[None]:
    """Nothing more can be written below the folder, which must be a small file system."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    stack.say(f"disk is full: {folder.name}")
    try:
        yield
    finally:
        ballast.unlink()
        stack.say("disk has room again")


@asynccontextmanager
async def locked(stack: Stack) -> AsyncIterator[None]:
    """Somebody else writes to the records for long."""
    db = sqlite3.connect(stack.home / "records.db", isolation_level=None, timeout=30)
    db.execute("begin immediate")
    stack.say("records are locked")
    try:
        yield
    finally:
        db.rollback()
        db.close()
        stack.say("records are free")


@asynccontextmanager
async def read_only(stack: Stack) -> AsyncIterator[None]:
    """Nobody can write to the records, root included; who opens them now gets SQLITE_READONLY for its writes."""
    try:
        with unwritable(stack.home / "records.db", stack.home / "records.db-wal"):
            stack.say("records are read-only")
            yield
    except NotSupported as reason:
        raise Unsupported(str(reason)) from None
    finally:
        stack.say("records can be written again")


async def _temporal(stack: Stack, *words: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(stack.folder)}
    command = (temporal_binary(), *words, "--address", stack.temporal_server.address)
    ended = await run(*command, environment=environment, seconds=20)
    if ended.status:
        stack.say(f"temporal {words[1]}: {ended.err.strip()[:200]}")


async def terminate_batch(stack: Stack, job: Ordered, rng: random.Random) -> None:
    """Terminate one of the job's running children by hand."""
    name = job_workflow_id(job.job_id)
    query = f"ExecutionStatus='Running' AND WorkflowId STARTS_WITH '{name}/stage-'"
    running = [found.id async for found in stack.temporal.list_workflows(query)]
    if not running:
        stack.say("no batch to terminate")
        return
    chosen = rng.choice(sorted(running))
    await _temporal(stack, "workflow", "terminate", "--workflow-id", chosen, "--reason", "harness")
    stack.say(f"terminated {chosen.removeprefix(name)}")
    stack.excuse()


async def terminate_job(stack: Stack, job: Ordered) -> None:
    """Terminate the job's workflow by hand, and let housekeeping find that."""
    words = ("--workflow-id", job_workflow_id(job.job_id), "--reason", "harness")
    await _temporal(stack, "workflow", "terminate", *words)
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
    await _temporal(stack, "workflow", "cancel", "--workflow-id", job_workflow_id(job.job_id))
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
    words = ("--workflow-id", job_workflow_id(job.job_id), "--event-id", str(point), "--reason", "harness")
    await _temporal(stack, "workflow", "reset", *words)
    stack.say(f"reset to event {point} of {points[-1]}")
    stack.excuse()
