"""A back end that sets a job's row to `cancelled` or `user_cancelled` cancels the job (spec §2)."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain.names import job_workflow_id
from darkroom.domain.progress import CANCELLED_WORDS, JobStatus
from tests.support.fakes.scripted import Act, Always
from tests.support.records.tables import SqliteTables
from tests.support.stacks.watching import events, until_heard
from tests.support.stacks.workflow import PRICE, WorkflowStack, running_stack
from worker import running_workers

pytestmark = pytest.mark.asyncio(loop_scope="session")


def tables(stack: WorkflowStack) -> SqliteTables:
    return SqliteTables(stack.parts.records)  # type: ignore[arg-type]  # the stack's records are SQLite's


async def set_status(stack: WorkflowStack, job_id: UUID, word: str) -> None:
    """As somebody else with the same tables does."""
    await tables(stack).plant(
        "update quel_production_jobs set job_status = :word where job_id = :job", word=word, job=str(job_id)
    )


async def word_of(stack: WorkflowStack, job_id: UUID) -> str:
    [row] = [row for row in (await tables(stack).dump())["quel_production_jobs"] if row["job_id"] == str(job_id)]
    return str(row["job_status"])


async def cancels(stack: WorkflowStack, job_id: UUID) -> int:
    """How often the job's workflow was told to cancel."""
    return sum(
        event.workflow_execution_signaled_event_attributes.signal_name == "cancel"
        for event in await events(stack, job_workflow_id(job_id))
    )


async def ends_cancelled(stack: WorkflowStack, job_id: UUID, word: str, *, delivered: int, ordered: int) -> None:
    """Whatever was in progress counts, the rest of the hold is released, and the back end's word stays."""
    receipt = await stack.end_of(job_id)
    assert (receipt.status, receipt.delivered) == (JobStatus.CANCELLED, delivered)
    assert (receipt.total.charged, receipt.total.released) == (delivered * PRICE, (ordered - delivered) * PRICE)
    assert await word_of(stack, job_id) == word
    row = await stack.row(job_id)
    assert (row.status, row.completed_images, row.failed_images) == (JobStatus.CANCELLED, delivered, 0)
    assert await stack.client.start_waiting_jobs() == 0
    await stack.check_invariants()


@pytest.mark.parametrize("word", CANCELLED_WORDS)
async def test_the_next_attempt_notices_it(skipping_client: TemporalClient, home: Path, word: str) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=4) as stack:
        job_id = await stack.held(12, calls=4)
        await set_status(stack, job_id, word)
        assert (await stack.row(job_id)).status is JobStatus.PROCESSING
        await ends_cancelled(stack, job_id, word, delivered=4, ordered=12)
        assert stack.provider.total_calls == 4
        assert await cancels(stack, job_id) >= 1


@pytest.mark.parametrize("word", CANCELLED_WORDS)
async def test_the_pick_up_notices_it_while_all_calls_are_in_progress(
    skipping_client: TemporalClient, home: Path, word: str
) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=3) as stack:
        job_id = await stack.held(9, 3, calls=6)
        await set_status(stack, job_id, word)
        assert await stack.client.start_waiting_jobs() == 0
        await until_heard(stack, job_id, "set_control", 1)
        assert await stack.client.start_waiting_jobs() == 0
        assert await cancels(stack, job_id) == 1, "one that has heard of it is told no more"
        answer = await stack.client.cancel(job_id)
        assert (answer.success, answer.message) == (False, "Job is already being cancelled")
        await ends_cancelled(stack, job_id, word, delivered=6, ordered=12)
        assert stack.provider.total_calls == 6


async def test_a_paused_job_is_cancelled_by_its_row(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(6, calls=2)
        await stack.client.pause(job_id, "lunch")
        await stack.until_paused(job_id)
        stack.provider.gate.set()
        await stack.until_row(job_id, lambda row: row.completed_images == 2, "the calls in progress")
        await set_status(stack, job_id, "user_cancelled")
        await stack.client.start_waiting_jobs()
        await ends_cancelled(stack, job_id, "user_cancelled", delivered=2, ordered=6)
        assert not (await stack.row(job_id)).paused


async def test_a_cancel_by_row_waits_for_no_back_off(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, Always(Act.FAULT)) as stack:
        job_id = await stack.order(3)
        await stack.provider.until_calls(3)
        await set_status(stack, job_id, "cancelled")
        await stack.client.start_waiting_jobs()
        await ends_cancelled(stack, job_id, "cancelled", delivered=0, ordered=3)


async def test_a_job_whose_workflow_is_gone_is_closed(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.DELIVER_PATIENCE", 0.1)  # nobody settles what the calls in progress make
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(5, calls=2)
        await stack.handle(job_id).terminate("as the test wants it")
        await set_status(stack, job_id, "user_cancelled")
        await stack.client.start_waiting_jobs()
        receipt = await stack.client.receipt(job_id)
        assert (receipt.status, receipt.total.released) == (JobStatus.CANCELLED, 5 * PRICE)
        assert await word_of(stack, job_id) == "user_cancelled"
        stack.provider.gate.set()
        await stack.provider.until_idle()
        await stack.check_invariants()


@pytest.mark.parametrize("word", CANCELLED_WORDS)
async def test_a_pending_job_whose_workflow_waits_is_never_opened(
    skipping_client: TemporalClient, home: Path, word: str
) -> None:
    async with running_stack(skipping_client, home, without_workers=True) as stack:
        job_id = await stack.order(2)
        await set_status(stack, job_id, word)
        async with running_workers(stack.parts, skipping_client):
            receipt = await asyncio.wait_for(stack.client.result(job_id), 20)
        assert receipt.delivered == receipt.ordered == 0
        assert await word_of(stack, job_id) == word
        assert stack.provider.total_calls == 0
        await stack.check_invariants()


async def test_the_word_for_cancelled_is_the_deployment_s(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, cancelled_status="user_cancelled", stage_concurrency=1) as stack:
        job_id = await stack.held(3, calls=1)
        assert (await stack.client.cancel(job_id)).success
        await stack.until_cancelling(job_id)
        assert (await stack.end_of(job_id)).status is JobStatus.CANCELLED
        unopened = await stack.stored({"stages": [{"prompt": "a red coat", "quantity": 1}]})
        assert (await stack.client.cancel(unopened)).success
        assert [await word_of(stack, one) for one in (job_id, unopened)] == ["user_cancelled"] * 2
        assert (await stack.row(job_id)).status is (await stack.row(unopened)).status is JobStatus.CANCELLED
        await stack.check_invariants()


async def test_a_restart_makes_what_a_cancelled_row_left(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(4, calls=2)
        await set_status(stack, job_id, "user_cancelled")
        await ends_cancelled(stack, job_id, "user_cancelled", delivered=2, ordered=4)
        assert (await stack.client.restart(job_id)).success
        assert (await stack.client.result(job_id)).delivered == 4
        await stack.check_invariants()
