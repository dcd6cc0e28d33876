"""The table on a job's page in the Temporal Web UI says what keeps the job still (spec §6)."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from temporalio.client import Client as TemporalClient

from darkroom.domain import continuing, movement
from darkroom.domain.names import job_workflow_id
from darkroom.domain.progress import JobStatus
from tests.support.fakes.scripted import Act, Always
from tests.support.stacks.watching import end_of, events, heard, without_time_skipping
from tests.support.stacks.workflow import WorkflowStack, running_stack
from tests.support.until import until
from worker import Role, running_workers

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("workflows")]


async def _table(stack: WorkflowStack, job_id: UUID) -> str:
    """What the Web UI asks for."""
    answer = await stack.handle(job_id).query("__temporal_workflow_metadata")
    return str(answer.current_details)


async def test_a_provider_that_fails_is_in_the_table_until_a_picture_comes(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movement, "TABLE_REFRESHED_EVERY", timedelta(seconds=0.2))
    monkeypatch.setattr("activities.errors.retry_delay", lambda *_: timedelta(seconds=0.3))
    provider = Always(Act.FAULT)
    async with running_stack(skipping_client, home, provider, stage_concurrency=2) as stack:
        job_id = await stack.order(2)

        async def said() -> bool:
            return "retrying 2" in await _table(stack, job_id) and "503 from the provider" in await _table(
                stack, job_id
            )

        await until(said, "the retries in the table")
        provider.act = Act.DRAW
        provider.script.clear()
        receipt = await end_of(stack, job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 2)
        assert "retrying" not in await _table(stack, job_id)


async def test_nothing_is_asked_while_a_job_is_paused(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movement, "TABLE_REFRESHED_EVERY", timedelta(seconds=0.05))
    async with running_stack(skipping_client, home, stage_concurrency=1) as stack:
        job_id = await stack.held(2, calls=1)
        await stack.client.pause(job_id, "lunch")
        await stack.until_paused(job_id)

        async def settled() -> bool:
            before = await heard(stack, job_id, "record_faults")
            described = await stack.handle(job_id).describe()
            again = await stack.handle(job_id).describe()
            return described.history_length == again.history_length and before == await heard(
                stack, job_id, "record_faults"
            )

        await until(settled, "the last timer")
        await stack.client.resume(job_id)
        assert (await end_of(stack, job_id)).delivered == 2


async def test_a_job_that_waits_for_days_does_not_grow_out_of_its_history(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody makes its calls. At 11 events a minute the server would end its workflow after three days."""
    every = timedelta(seconds=0.05)
    monkeypatch.setattr(movement, "TABLE_REFRESHED_EVERY", every)
    monkeypatch.setattr(continuing, "LONG_HISTORY", 100)
    stack_of = running_stack(without_time_skipping(skipping_client), home, without_workers=True)
    async with stack_of as stack, running_workers(stack.parts, stack.temporal, [Role.ORCHESTRATE, Role.PUBLISH]):
        job_id = await stack.order(1)

        async def timers() -> list[timedelta]:
            found = [event.timer_started_event_attributes for event in await events(stack, job_workflow_id(job_id))]
            return [one.start_to_fire_timeout.ToTimedelta() for one in found if one.timer_id]

        async def rare() -> bool:
            return 60 * every in await timers()

        await until(rare, "a longer pause", 10)
        assert (await timers())[:2] == [every, every]
        assert len(await events(stack, job_workflow_id(job_id))) < 100
        async with running_workers(stack.parts, stack.temporal, [Role.GENERATE]):
            assert (await end_of(stack, job_id)).delivered == 1
