"""Darkroom beside the worker that it replaces, on the same rows: each takes its own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import JsonValue
from temporalio.client import Client as TemporalClient

from darkroom.domain.orders import JobType
from darkroom.domain.progress import JobStatus
from tests.support.records.tables import SqliteTables
from tests.support.stacks.workflow import WorkflowStack, running_stack
from worker import running_workers

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCUMENT: dict[str, JsonValue] = {"stages": [{"prompt": "a red coat", "quantity": 2}]}
NOW = datetime.now(UTC)


async def change(stack: WorkflowStack, job_id: UUID, column: str, value: str) -> None:
    """As the old worker does, or a front end."""
    tables = SqliteTables(stack.parts.records)  # type: ignore[arg-type]  # the stack's records are SQLite's
    await tables.plant(
        f"update quel_production_jobs set {column} = :value where job_id = :job", value=value, job=str(job_id)
    )


async def test_only_moved_types_are_started(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home, pick_up_types=(JobType.PIPELINE_STAGE,)) as stack:
        ours, theirs = await stack.stored(DOCUMENT), await stack.stored(DOCUMENT)
        await change(stack, theirs, "job_type", "simple_general")
        assert await stack.client.start_waiting_jobs() == 1
        assert (await stack.client.result(ours)).delivered == 2
        left = await stack.row(theirs)
        assert (left.status, left.run_id) == (JobStatus.PENDING, None)
        await stack.check_invariants()


@pytest.mark.parametrize(("since", "started"), [(NOW - timedelta(days=1), 1), (NOW + timedelta(days=1), 0)])
async def test_only_rows_inserted_since_the_move_are_started(
    skipping_client: TemporalClient, home: Path, since: datetime, started: int
) -> None:
    async with running_stack(skipping_client, home, pick_up_since=since) as stack:
        job_id = await stack.stored(DOCUMENT)
        assert await stack.client.start_waiting_jobs() == started
        if started:
            assert (await stack.client.result(job_id)).delivered == 2


async def test_a_row_that_the_old_worker_takes_first_is_left_to_it(skipping_client: TemporalClient, home: Path) -> None:
    """It sets the row to processing after the pick-up has seen it pending, and before the workflow opens it."""
    async with running_stack(skipping_client, home, without_workers=True) as stack:
        job_id = await stack.stored(DOCUMENT)
        assert await stack.client.start_waiting_jobs() == 1
        await change(stack, job_id, "job_status", "processing")
        async with running_workers(stack.parts, skipping_client):
            receipt = await stack.client.result(job_id)
        assert (receipt.delivered, stack.provider.total_calls) == (0, 0)
        row = await stack.row(job_id)
        assert (row.status, row.run_id) == (JobStatus.PROCESSING, None)
        assert await stack.client.start_waiting_jobs() == 0
        await stack.check_invariants()
