"""Rollouts with build ids: a job stays with the build that began it, until it is drained or moved (architecture)."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
import structlog
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowExecutionDescription

from darkroom.client.versions import (
    Version,
    check_versions,
    to_make_current,
    to_move,
    versions_without_worker,
    warn_without_current_version,
)
from darkroom.domain.progress import JobStatus
from tests.support.programs import temporal_binary
from tests.support.stacks.temporal_server import running_temporal
from tests.support.stacks.watching import end_of, until_batches_ended
from tests.support.stacks.workflow import WorkflowStack, running_stack
from tests.support.until import until
from worker import running_workers

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

DEPLOYMENT = "darkroom"
OLD, NEW = Version(DEPLOYMENT, "1.0"), Version(DEPLOYMENT, "1.1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[TemporalClient]:
    async with running_temporal() as client:
        yield client


def _stack(client: TemporalClient, home: Path, version: Version) -> AbstractAsyncContextManager[WorkflowStack]:
    return running_stack(client, home, stage_concurrency=1, deployment_name=version.deployment, build_id=version.build)


@asynccontextmanager
async def _workers(stack: WorkflowStack, version: Version) -> AsyncIterator[None]:
    """Workers of another build over the same records and provider."""
    settings = stack.parts.settings.model_copy(update={"build_id": version.build})
    parts = stack.parts.__class__(**{**vars(stack.parts), "settings": settings})
    async with running_workers(parts, stack.temporal):
        yield


async def _run(stack: WorkflowStack, command: str) -> None:
    """A command as it is printed, of Temporal's own command line."""
    program, *words = shlex.split(command)
    assert program == "temporal"
    address = stack.temporal.service_client.config.target_host
    process = await asyncio.create_subprocess_exec(
        temporal_binary(),
        *words,
        "--address",
        address,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


async def _make_current(stack: WorkflowStack, version: Version) -> None:
    async def accepted() -> bool:
        try:
            await _run(stack, f"{to_make_current(version)} --yes")
        except AssertionError:
            return False  # the server has not heard of the worker yet
        return True

    await until(accepted, f"{version.build} to be known to the server", 30)


async def _build_of(stack: WorkflowStack, job_id: UUID) -> str:
    described: WorkflowExecutionDescription = await stack.handle(job_id).describe()
    info = described.raw_description.workflow_execution_info.versioning_info
    return info.deployment_version.build_id


@pytest.mark.slow
async def test_a_job_ends_with_the_build_that_began_it_while_new_ones_go_to_the_next(
    client: TemporalClient, home: Path
) -> None:
    async with _stack(client, home, OLD) as stack:
        await _make_current(stack, OLD)
        before = await stack.held(4, calls=1)
        async with _workers(stack, NEW):
            await _make_current(stack, NEW)
            after = await stack.order(2)
            first, second = await asyncio.gather(end_of(stack, before), end_of(stack, after))
            assert (first.status, first.delivered) == (JobStatus.COMPLETED, 4)
            assert (second.status, second.delivered) == (JobStatus.COMPLETED, 2)
            assert [await _build_of(stack, job_id) for job_id in (before, after)] == [OLD.build, NEW.build]
        await stack.check_invariants()


async def test_a_job_whose_build_no_worker_has_is_named_and_goes_on_when_it_is_moved(
    client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Version("moved", "1.0"), Version("moved", "1.1")
    async with _stack(client, home, new) as stack:
        async with _workers(stack, old):
            await _make_current(stack, old)
            job_id = await stack.held(4, calls=1)
            assert (await stack.client.pause(job_id, "rollout")).success
            await stack.until_paused(job_id)
            stack.provider.gate.set()
            await until_batches_ended(stack, job_id)
            assert await versions_without_worker(client) == {}
        await _make_current(stack, new)
        assert (await stack.client.resume(job_id)).success
        # Pollers that have gone stay listed for a minute.
        monkeypatch.setattr("darkroom.client.versions.SEEN_WITHIN", timedelta(0))
        assert await versions_without_worker(client) == {old: 1}
        [finding] = await check_versions(client)
        assert finding.told == "1 running workflow needs build 1.0 of moved, which no worker has"
        assert to_move(old) in (finding.remedy or "")
        await _run(stack, to_move(old))
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 4)
        await stack.check_invariants()


async def test_a_worker_whose_deployment_has_no_current_version_says_so(client: TemporalClient, home: Path) -> None:
    version = Version("nobody-made-it-current", "1.0")
    async with _stack(client, home, version) as stack:
        with structlog.testing.capture_logs() as lines:
            await warn_without_current_version(client, stack.parts.settings)
            await _make_current(stack, version)
            await warn_without_current_version(client, stack.parts.settings)
    assert [(line["event"], to_make_current(version) in line["note"]) for line in lines] == [
        ("no current version", True)
    ]
