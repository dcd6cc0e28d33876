"""Repeated pauses end no workflow: what became long goes on in a new execution, under the same run of the records."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowExecutionStatus

from darkroom.contract import PipelineJob
from darkroom.domain import continuing
from darkroom.domain.continuing import ENOUGH_HISTORY
from darkroom.domain.names import job_workflow_id
from darkroom.domain.progress import JobStatus
from tests.support.fakes.scripted import Act, Always, ScriptedProvider
from tests.support.payloads import payloads
from tests.support.stacks.temporal_server import (
    running_skipping_temporal,
    running_temporal,
    suggesting_to_continue_after,
)
from tests.support.stacks.watching import end_of, until_no_batch_runs
from tests.support.stacks.workflow import PATIENCE, PRICE, WorkflowStack, running_stack
from tests.support.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

SERVER_ENDS_A_WORKFLOW = 51_200
"""Events."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient_client() -> AsyncIterator[TemporalClient]:
    """A client of a server that suggests early that workflows continue as new."""
    async with running_skipping_temporal(*suggesting_to_continue_after(50)) as client:
        yield client


async def _executions(stack: WorkflowStack, job_id: UUID) -> list[int]:
    """The lengths of the histories of a job's executions."""
    query = f"WorkflowId = '{job_workflow_id(job_id)}'"
    return [one.history_length or 0 async for one in stack.temporal.list_workflows(query)]


REPLAY_PATIENCE = 120.0
"""Seconds, on a busy machine: a history of 17,000 events that the worker no longer holds is replayed from its start."""


async def _pause_and_resume(
    stack: WorkflowStack, job_id: UUID, *, quiet: bool = False, patience: float = PATIENCE
) -> None:
    """A pause that is applied, and taken back; `quiet` waits in between until the job knows that no batch runs."""
    assert (await stack.client.pause(job_id, "lunch")).success
    await stack.until_paused(job_id, patience)
    await stack.provider.until_idle()
    if quiet:
        await until_no_batch_runs(stack, job_id)
    assert (await stack.client.resume(job_id)).success
    await stack.until_row(job_id, lambda row: not row.paused, "the end of the pause", patience)


async def test_pauses_without_end_end_no_job(impatient_client: TemporalClient, home: Path) -> None:
    script = {(0, 0): [Act.MISS], (1, 1): [Act.REFUSE] * 99, (1, 2): [Act.REFUSE_FINALLY]}
    async with running_stack(impatient_client, home, ScriptedProvider(script), stage_concurrency=1) as stack:
        job_id = await stack.held(20, 3, calls=2)
        stack.provider.gate.set()
        first = (await stack.handle(job_id).describe()).run_id
        while (await stack.handle(job_id).describe()).run_id == first:
            await _pause_and_resume(stack, job_id, quiet=True)
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered, receipt.total.misses) == (JobStatus.COMPLETED, 21, 1)
        assert receipt.total.charged == 21 * PRICE
        assert [(stage.stage_index, stage.missing) for stage in receipt.missing] == [(1, 2)]
        assert receipt.missing[0].reason.startswith("this prompt is blocked")
        await stack.check_invariants()

        async def listed() -> bool:
            return len(await _executions(stack, job_id)) > 1

        await until(listed, "the executions in the list")
        running = await stack.handle(job_id).describe()
        assert running.status is WorkflowExecutionStatus.COMPLETED
        row = await stack.row(job_id)
        assert (row.retry_count, row.completed_images) == (0, 21)
        assert max(await _executions(stack, job_id)) < ENOUGH_HISTORY


async def test_what_it_continues_with_counts_and_names_the_pictures_of_stages_that_had_ended(
    impatient_client: TemporalClient, home: Path
) -> None:
    async with running_stack(impatient_client, home, stage_concurrency=1) as stack:
        job_id = await stack.held(1, 20, calls=2, priority=1)
        stack.provider.gate.set()
        first = (await stack.handle(job_id).describe()).run_id
        while (await stack.handle(job_id).describe()).run_id == first:
            await _pause_and_resume(stack, job_id, quiet=True)
        assert (await end_of(stack, job_id)).delivered == 21
        described = await stack.handle(job_id).describe()
        assert described.run_id != first
        assert described.raw_description.workflow_execution_info.priority.priority_key == 1
        told = await stack.handle(job_id).query(PipelineJob.progress)
        assert told.completed_images == len(told.generated_attach_ids or ()) == 21


async def test_a_stage_that_waits_for_a_quota_keeps_no_other_from_continuing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One provider refuses it, the other's quota is back in three hours; the other stage has a provider."""
    monkeypatch.setattr(continuing, "LONG_HISTORY", 60)
    drawing = ScriptedProvider({(0, n): [Act.REFUSE] * 9 for n in range(9)} | {(1, n): [Act.MISS] for n in range(12)})
    spent = Always(Act.QUOTA)
    providers = {"offline": drawing, "runware": spent}
    async with (
        running_temporal() as temporal,
        running_stack(temporal, home, drawing, providers=providers, top_up_delay=0.1) as stack,
    ):
        job_id = await stack.order(3, 3, providers=list(providers), max_top_ups=6)
        first = (await stack.handle(job_id).describe()).run_id
        await stack.until_row(job_id, lambda row: row.completed_images == 3, "the stage that has a provider")
        assert (await stack.handle(job_id).describe()).run_id != first
        await stack.client.cancel(job_id)
        assert (await end_of(stack, job_id)).delivered == 3


async def test_pauses_too_short_for_a_batch_to_end_make_a_moment_to_continue(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuing, "LONG_HISTORY", 100)
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.held(3, 2, calls=2)

        async def is_long() -> bool:
            return ((await stack.handle(job_id).describe()).history_length or 0) > 100

        while not await is_long():
            await stack.client.pause(job_id, "lunch")
            await stack.client.resume(job_id)
        first = (await stack.handle(job_id).describe()).run_id
        stack.provider.gate.set()
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered, stack.provider.total_calls) == (JobStatus.COMPLETED, 5, 5)
        assert (await stack.handle(job_id).describe()).run_id != first
        await stack.check_invariants()


@pytest.mark.slow
async def test_a_cancel_after_it_continued_ends_the_job_and_every_id_is_known(
    impatient_client: TemporalClient, home: Path
) -> None:
    async with running_stack(impatient_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(20, calls=2)
        stack.provider.gate.set()
        first = (await stack.handle(job_id).describe()).run_id
        while (await stack.handle(job_id).describe()).run_id == first:
            await _pause_and_resume(stack, job_id, quiet=True)

        async def ids_known() -> bool:
            progress = (await stack.client.progress(job_id)).progress
            return progress.completed_images == len(progress.generated_attach_ids or ()) > 0

        await until(ids_known, "the ids of the execution before")
        stack.provider.gate.clear()
        await stack.client.cancel(job_id, "enough")
        receipt = await end_of(stack, job_id)
        assert receipt.status in (JobStatus.CANCELLED, JobStatus.COMPLETED)
        assert receipt.delivered == (await stack.row(job_id)).completed_images == stack.provider.total_calls
        await stack.check_invariants()


@pytest.mark.slow
async def test_a_quota_that_is_never_back_ends_no_job(impatient_client: TemporalClient, home: Path) -> None:
    provider = Always(Act.QUOTA)
    provider.quota_until = provider.quota_until.replace(year=2020)
    async with running_stack(impatient_client, home, provider, stage_concurrency=1) as stack:
        job_id = await stack.order(2)
        first = (await stack.handle(job_id).describe()).run_id
        await provider.until_calls(5)
        assert (await stack.handle(job_id).describe()).run_id != first
        provider.act = Act.DRAW
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("pauses", "stages"), [(2_000, 1), (200, 100)])
async def test_thousands_of_pauses_end_no_job(home: Path, pauses: int, stages: int) -> None:
    async with (
        running_skipping_temporal() as temporal,
        running_stack(temporal, home, stage_concurrency=1, opening_balance=1_000_000) as stack,
    ):
        job_id = await stack.order(*[10_000 // stages] * stages, max_top_ups=0)
        lengths: list[int] = []
        for _ in range(pauses):
            await _pause_and_resume(stack, job_id, patience=REPLAY_PATIENCE)
            described = await stack.handle(job_id).describe()
            assert described.status is WorkflowExecutionStatus.RUNNING
            lengths.append(described.history_length or 0)
        await stack.client.cancel(job_id, "enough")
        receipt = await asyncio.wait_for(stack.client.result(job_id), 300)
        assert receipt.status is JobStatus.CANCELLED
        assert receipt.delivered == stack.provider.total_calls == receipt.total.provider_calls
        assert max(lengths) < SERVER_ENDS_A_WORKFLOW / 2
        await stack.check_invariants()
        history = await stack.handle(job_id).fetch_history()
        assert max(len(payload.data) for event in history.events for payload in payloads(event)) < 16 * 1024
        print(f"{pauses} pauses, {stages} stages: {await _executions(stack, job_id)}")  # noqa: T201
