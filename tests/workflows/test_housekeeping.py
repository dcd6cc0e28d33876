"""Housekeeping: what crashes and terminated workflows leave behind is found and mended."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client as TemporalClient

from darkroom.client.schedules import ensure_schedules
from darkroom.domain.attempts import Attempt, Begin
from darkroom.domain.housekeeping import Tidied
from darkroom.domain.images import ImageKey
from darkroom.domain.jobs import JobRow
from darkroom.domain.names import HOUSEKEEPING_SCHEDULE, WAITING_JOBS_SCHEDULE, TaskQueue, staging_key
from darkroom.domain.progress import JobStatus
from darkroom.housekeeping.housekeeper import KEEP_FAILED, Housekeeper, HousekeepingRecords
from darkroom.records.sqlite import SqliteRecords
from tests.support.fakes.scripted import Act, ScriptedProvider
from tests.support.records.tables import SqliteTables
from tests.support.stacks.watching import Between
from tests.support.stacks.workflow import OPENING_BALANCE, WorkflowStack, running_stack
from tests.support.until import until
from workflows.housekeeping import HousekeepingWorkflow

NOTHING = Tidied()


def housekeeper(stack: WorkflowStack) -> Housekeeper:
    return Housekeeper(stack.parts.records, stack.parts.storage, stack.temporal)


async def plant(stack: WorkflowStack, statement: str, **values: object) -> None:
    records = stack.parts.records
    assert isinstance(records, SqliteRecords)
    await SqliteTables(records).plant(statement, **values)


async def under_way(stack: WorkflowStack, quantity: int = 3) -> UUID:
    """A job with one picture delivered and the others being drawn."""
    stack.provider.gate.clear()
    job_id = await stack.order(quantity)
    await stack.provider.until_calls(quantity)
    return job_id


async def test_a_job_whose_workflow_was_terminated_has_failed_and_can_be_restarted(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await under_way(stack)
        await stack.handle(job_id).terminate("by the operator")
        stack.provider.gate.set()
        assert (await stack.row(job_id)).status is JobStatus.PROCESSING
        assert await housekeeper(stack).tidy() == Tidied(failed_jobs=1)
        row = await stack.row(job_id)
        assert row.status is JobStatus.FAILED
        assert row.error_message == (
            f"its workflow was terminated in Temporal; `darkroom restart {job_id}` makes what is missing"
        )
        await stack.check_invariants()
        assert await housekeeper(stack).tidy() == NOTHING
        await stack.client.restart(job_id)
        assert (await stack.client.result(job_id)).delivered == 3
        assert await stack.balance() == OPENING_BALANCE - 3 * 20


async def test_a_job_terminated_before_anything_opened_it_has_failed(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.stored({"stages": [{"prompt": "a lemon", "quantity": 2}]})
        # On a queue that nobody serves, so that it is never opened.
        handle = await stack.temporal.start_workflow(
            "PipelineJobWorkflow", id=f"job-{job_id}", task_queue="nobody", args=[{"job_id": str(job_id)}]
        )
        assert await housekeeper(stack).tidy() == NOTHING
        await handle.terminate()
        assert await housekeeper(stack).tidy() == Tidied(failed_jobs=1)
        assert (await stack.row(job_id)).status is JobStatus.FAILED
        await stack.client.restart(job_id)
        assert (await stack.client.result(job_id)).delivered == 2


async def test_jobs_that_run_are_paused_or_wait_are_left_alone(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await under_way(stack)
        await stack.client.pause(job_id)
        waiting = uuid4()
        await plant(
            stack,
            "insert into quel_production_jobs (job_id, job_input_data, created_at, updated_at)"
            " values (:id, '{}', 0, 0)",
            id=str(waiting),
        )
        assert await housekeeper(stack).tidy() == NOTHING
        await plant(stack, "delete from quel_production_jobs where job_id = :id", id=str(waiting))
        stack.provider.gate.set()
        await stack.client.resume(job_id)
        assert (await stack.client.result(job_id)).delivered == 3


async def test_a_hold_of_an_ended_job_is_released(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.order(2)
        await stack.client.result(job_id)
        await plant(stack, "update quel_credit_holds set released_at = null, amount = 40")
        with capture_logs() as lines:
            assert await housekeeper(stack).tidy() == Tidied(released_holds=1)
        assert [line["job_id"] for line in lines if line["event"] == "hold of an ended job released"] == [str(job_id)]
        await stack.check_invariants()


async def test_what_was_staged_after_the_end_goes_and_a_failed_jobs_pictures_wait(
    skipping_client: TemporalClient, home: Path
) -> None:
    script = {(0, 0): [Act.STOP]}
    async with running_stack(skipping_client, home, ScriptedProvider(script)) as stack:
        failed = await stack.order(1)
        assert (await stack.client.result(failed)).status is JobStatus.FAILED
        stack.provider.script = {}
        whole = await stack.order(2)
        await stack.client.result(whole)
        for job_id in (failed, whole):
            await stack.parts.storage.put(staging_key(job_id, 0, 7), b"late", "image/png")
        await stack.parts.storage.put("staging/doctor/1", b"not a job's", "image/png")
        assert await housekeeper(stack).tidy() == Tidied(removed_objects=1)
        left = await stack.parts.storage.keys("staging/")
        assert sorted(left) == sorted([staging_key(failed, 0, 7), "staging/doctor/1"])
        long_ago = (datetime.now(UTC) - KEEP_FAILED - timedelta(hours=1)).isoformat(timespec="microseconds")
        await plant(
            stack,
            "update quel_production_jobs set completed_at = :then where job_id = :id",
            then=long_ago,
            id=str(failed),
        )
        assert await housekeeper(stack).tidy() == Tidied(removed_objects=1)
        assert list(await stack.parts.storage.keys("staging/")) == ["staging/doctor/1"]
        assert len(await stack.parts.records.delivered_images(whole, 0, 10)) == 2
        await stack.check_invariants()


async def test_a_picture_that_a_lost_worker_wrote_after_the_end_goes(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.held(2, calls=2)
        row = await stack.row(job_id)
        assert row.run_id is not None
        key = ImageKey(job_id=job_id, stage_index=0, ordinal=0)
        lost = Attempt(key=key, run_id=row.run_id, call_id=uuid4(), round=0, provider="offline", worker="elsewhere")
        assert (await stack.parts.records.begin_attempt(lost, looked=True)).begin is Begin.BEGUN
        receipt = await stack.end_of(job_id)
        assert (receipt.delivered, receipt.total.unknown_calls) == (2, 1)
        assert await housekeeper(stack).tidy() == Tidied()
        late = lost.key.final(row.user_id, lost.call_id)
        await stack.parts.storage.put(late, b"late", "image/webp")
        assert await housekeeper(stack).tidy() == Tidied(removed_objects=1)
        assert not await stack.parts.storage.exists(late)
        await stack.check_invariants()


async def test_what_audit_finds_is_logged_and_counted(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        await stack.client.result(await stack.order(1))
        await plant(stack, "update quel_member set quel_member_credit = quel_member_credit - 1")
        with capture_logs() as lines:
            assert await housekeeper(stack).tidy() == Tidied(findings=1)
        assert [line["log_level"] for line in lines if line["event"] == "audit finding"] == ["error"]
        await plant(stack, "update quel_member set quel_member_credit = quel_member_credit + 1")


async def test_the_workflow_tidies_and_says_what_it_found(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        await stack.client.result(await stack.order(1))
        await plant(stack, "update quel_credit_holds set released_at = null")
        found = await stack.temporal.execute_workflow(
            HousekeepingWorkflow.run, id=f"tidy-{uuid4()}", task_queue=TaskQueue.ORCHESTRATE
        )
        assert found == Tidied(released_holds=1)


async def test_one_row_that_cannot_be_read_keeps_housekeeping_from_no_other_job(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        jobs = sorted([await stack.order(1), await stack.order(1)])
        for job_id in jobs:
            await stack.client.result(job_id)
            await stack.parts.storage.put(staging_key(job_id, 0, 7), b"late", "image/png")
        broken, good = jobs
        row = await stack.row(broken)
        change = "update quel_production_jobs set created_at = :then where job_id = :id"
        await plant(stack, change, then="yesterday", id=str(broken))
        with capture_logs() as lines:
            assert await housekeeper(stack).tidy() == Tidied(removed_objects=1)
        assert not await stack.parts.storage.exists(staging_key(good, 0, 7))
        [line] = [line for line in lines if line["event"] == "leftovers stay"]
        assert (line["log_level"], line["job_id"]) == ("warning", str(broken))
        await plant(stack, change, then=row.created_at.isoformat(), id=str(broken))
        assert await housekeeper(stack).tidy() == Tidied(removed_objects=1)


@pytest.fixture
async def no_schedules(skipping_client: TemporalClient) -> None:
    for name in (HOUSEKEEPING_SCHEDULE, WAITING_JOBS_SCHEDULE):
        async for schedule in await skipping_client.list_schedules():
            if schedule.id == name:
                await skipping_client.get_schedule_handle(name).delete()


async def test_schedules_are_made_once_and_keep_the_operators_pause(
    skipping_client: TemporalClient, no_schedules: None
) -> None:
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    temporal = skipping_client
    await ensure_schedules(temporal, waiting_every=None, housekeeping_every=hour)
    housekeeping = temporal.get_schedule_handle(HOUSEKEEPING_SCHEDULE)
    await housekeeping.pause(note="maintenance")
    await ensure_schedules(temporal, waiting_every=hour, housekeeping_every=minute)
    made = (await housekeeping.describe()).schedule
    assert [interval.every for interval in made.spec.intervals] == [minute]
    assert (made.state.paused, made.state.note) == (True, "maintenance")

    async def listed() -> bool:
        return {schedule.id async for schedule in await temporal.list_schedules()} >= {
            HOUSEKEEPING_SCHEDULE,
            WAITING_JOBS_SCHEDULE,
        }

    await until(listed, "both schedules")
    for name in (HOUSEKEEPING_SCHEDULE, WAITING_JOBS_SCHEDULE):
        await temporal.get_schedule_handle(name).delete()


class _RestartedMeanwhile:
    """Records of a job that is restarted, and opens, between two looks of housekeeping."""

    def __init__(self, stack: WorkflowStack) -> None:
        self._stack = stack

    def __getattr__(self, name: str) -> object:
        return getattr(self._stack.parts.records, name)

    async def job(self, job_id: UUID) -> JobRow | None:
        ended = (await self._stack.row(job_id)).run_id
        await self._stack.client.restart(job_id)
        await self._stack.until_row(job_id, lambda row: row.run_id != ended, "the new run to open")
        return await self._stack.parts.records.job(job_id)


async def test_a_run_that_a_restart_has_just_opened_is_not_closed_for_the_one_before(
    skipping_client: TemporalClient, home: Path
) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await under_way(stack)
        await stack.handle(job_id).terminate("by the operator")
        records = cast("HousekeepingRecords", _RestartedMeanwhile(stack))
        found = await Housekeeper(records, stack.parts.storage, stack.temporal).tidy()
        assert found.failed_jobs == 0
        assert (await stack.row(job_id)).status is JobStatus.PROCESSING
        receipt = await stack.end_of(job_id)
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 3)


async def test_a_job_is_restarted_while_its_last_run_cleans_up(
    skipping_client: TemporalClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom.client.steering.RESTART_PATIENCE", 0.3)
    cleaning, reached, release = Between("remove_leftovers"), asyncio.Event(), asyncio.Event()

    async def hold(_: object) -> None:
        reached.set()
        await release.wait()

    cleaning.before = hold
    async with running_stack(skipping_client, home, interceptors=[cleaning], stage_concurrency=1) as stack:
        job_id = await stack.held(3, calls=1)
        await stack.client.cancel(job_id)
        await stack.until_cancelling(job_id)
        stack.provider.gate.set()
        await asyncio.wait_for(reached.wait(), 10)
        row = await stack.row(job_id)
        assert (row.status, row.completed_images) == (JobStatus.CANCELLED, 1)
        try:
            answer = await stack.client.restart(job_id)
            assert (answer.success, answer.message) == (True, "Job restarted")
            receipt = await stack.end_of(job_id)
        finally:
            release.set()
        assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, 3)
        await stack.check_invariants()


async def test_jobs_that_ended_long_ago_are_purged_and_others_kept(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        old, new = [await stack.order(2) for _ in range(2)]
        for job_id in (old, new):
            await stack.client.result(job_id)
        long_ago = (datetime.now(UTC) - timedelta(days=91)).isoformat(timespec="microseconds")
        await plant(
            stack, "update quel_production_jobs set completed_at = :at where job_id = :id", at=long_ago, id=str(old)
        )
        assert await housekeeper(stack).tidy() == NOTHING
        keeping = Housekeeper(stack.parts.records, stack.parts.storage, stack.temporal, timedelta(days=90))
        assert await keeping.tidy() == Tidied(purged_jobs=1)
        keys = await stack.parts.storage.keys("generated-images/")
        assert {str(new) in key for key in keys} == {True}
        assert len(keys) == 2
        await stack.check_invariants()
        assert await keeping.tidy() == NOTHING


async def test_an_interrupted_delete_is_finished(skipping_client: TemporalClient, home: Path) -> None:
    async with running_stack(skipping_client, home) as stack:
        job_id = await stack.order(2)
        await stack.client.result(job_id)
        await stack.parts.records.begin_delete(job_id)
        assert len(await stack.parts.storage.keys("generated-images/")) == 2
        assert await housekeeper(stack).tidy() == Tidied(finished_deletes=1)
        assert await stack.parts.storage.keys("generated-images/") == []
        assert await housekeeper(stack).tidy() == NOTHING
