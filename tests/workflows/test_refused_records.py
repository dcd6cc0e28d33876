"""What the records refuse for good ends the job: failed, with the message, its hold released (issue 12.10)."""

from pathlib import Path
from uuid import UUID

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain.names import batch_workflow_id
from darkroom.domain.progress import JobStatus
from darkroom.records.sqlite import SqliteRecords
from tests.support.records.tables import SqliteTables
from tests.support.stacks.watching import Between, events
from tests.support.stacks.workflow import OPENING_BALANCE, PRICE, WorkflowStack, running_stack
from tests.support.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("workflows")]

REFUSAL = "a rule of the front end"

EVENTS = {
    "open_job": "insert on quel_job_runs",
    "set_control": "update of control_version on quel_production_jobs when new.control_version > 0",
    "begin_attempt": "insert on quel_generation_attempts",
    "attach": "insert on quel_attach",
    "credit": "insert on quel_credits",
}


async def _refuse(stack: WorkflowStack, event: str) -> None:
    when = event.partition(" when ")[2]
    condition = f" when {when}" if when else ""
    await _change(
        stack,
        f"create trigger refusing before {event.partition(' when ')[0]}{condition} "
        f"begin select raise(abort, '{REFUSAL}'); end",
    )


async def _change(stack: WorkflowStack, statement: str) -> None:
    records = stack.parts.records
    assert isinstance(records, SqliteRecords)
    await SqliteTables(records).plant(statement)


async def _check_failed(stack: WorkflowStack, job_id: UUID, delivered: int = 0) -> None:
    receipt = await stack.end_of(job_id)
    assert (receipt.status, receipt.delivered) == (JobStatus.FAILED, delivered)
    row = await stack.row(job_id)
    assert row.status is JobStatus.FAILED
    assert row.error_message is not None
    assert f"{REFUSAL}; retrying cannot help; fix the database, then restart the job" in row.error_message
    assert await stack.balance() == OPENING_BALANCE - delivered * PRICE
    await stack.check_invariants()


@pytest.mark.parametrize(
    "refused", ["credit", *(pytest.param(one, marks=pytest.mark.slow) for one in ("begin_attempt", "attach"))]
)
async def test_a_job_whose_records_refuse_a_picture_fails_with_the_message_and_is_restarted_later(
    refused: str, skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        await _refuse(stack, EVENTS[refused])
        job_id = await stack.order(2, 2)
        await _check_failed(stack, job_id)
        assert (stack.provider.total_calls == 0) == (refused == "begin_attempt")
        await _change(stack, "drop trigger refusing")
        assert (await stack.client.restart(job_id)).success
        assert (await stack.end_of(job_id)).delivered == 4
        assert stack.provider.total_calls == 4, "what was paid for is delivered"


async def test_a_pause_that_the_row_cannot_say_ends_the_job_and_keeps_what_is_paid_for(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home, stage_concurrency=2) as stack:
        job_id = await stack.held(5, calls=2)
        await _refuse(stack, EVENTS["set_control"])
        await stack.client.pause(job_id)

        async def batch_was_told() -> bool:
            found = await events(stack, batch_workflow_id(job_id, 0, 0, 0))
            return any(event.HasField("workflow_execution_signaled_event_attributes") for event in found)

        await until(batch_was_told, "the batch to be told")
        await _check_failed(stack, job_id, delivered=2)
        assert stack.provider.total_calls == 2


async def test_a_job_that_cannot_be_opened_is_closed_when_the_records_take_it(
    skipping_client: TemporalClient, home: Path
) -> None:
    closing, attempts = Between("close_job"), list[int]()
    async with running_stack(skipping_client, home, interceptors=[closing]) as stack:

        async def refused_first(_: object) -> None:
            attempts.append(1)
            closing.before = taken_then

        async def taken_then(_: object) -> None:
            attempts.append(2)
            assert (await stack.row(job_id)).status is JobStatus.PENDING
            await _change(stack, "drop trigger refusing")

        closing.before = refused_first
        await _refuse(stack, EVENTS["open_job"])
        job_id = await stack.order(2)
        await _check_failed(stack, job_id)
        assert len(attempts) == 2, "the end was written by a later attempt"
        assert stack.provider.total_calls == 0
