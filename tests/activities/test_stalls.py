"""A job that stalls is told once, and again when it stalls anew."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs
from temporalio.testing import ActivityEnvironment

from activities.jobs import JobActivities, Pace
from activities.stalls import StallLines
from darkroom.domain.batches import RunRef
from darkroom.domain.images import Outcome
from darkroom.domain.jobs import End
from darkroom.domain.money import Terms
from darkroom.domain.movement import Faults
from darkroom.orders.intake import Intake
from darkroom.records.sqlite import SqliteRecords
from darkroom.storage.files import FileStorage
from tests.support.records.fixture import Job, RecordsFixture
from tests.support.records.tables import SqliteTables

LIMIT = timedelta(seconds=120)


@pytest.fixture
async def job() -> AsyncIterator[Job]:
    records = SqliteRecords(":memory:")
    fixture = RecordsFixture(records, SqliteTables(records))
    yield await fixture.opened(await fixture.member(), (3,))
    await records.close()


async def told(lines: StallLines, later: timedelta) -> list[object]:
    """What is logged for a look so much later than now."""
    with capture_logs() as logged:
        await lines.look(datetime.now(UTC) + later)
    return [{**line} for line in logged]


async def test_a_job_that_stalls_is_told_once_with_its_counts_and_its_reason(job: Job) -> None:
    lines = StallLines(job.records, LIMIT)
    lines.note(job.job_id)
    await job.tried(0, Outcome.FAULT, reason="HTTP 503")
    assert await told(lines, LIMIT - timedelta(seconds=10)) == []
    [line] = await told(lines, LIMIT + timedelta(seconds=10))
    assert line == {
        "event": "job stalled", "log_level": "warning", "job_id": str(job.job_id), "completed": 0, "total": 3,
        "seconds": 130, "retrying": 1, "reason": "HTTP 503",
    }  # fmt: skip
    assert await told(lines, 2 * LIMIT) == []
    await job.deliver([1])
    assert await told(lines, LIMIT - timedelta(seconds=10)) == []
    assert len(await told(lines, 2 * LIMIT)) == 1


async def test_a_job_that_is_paused_does_not_stall_and_one_that_ended_is_forgotten(job: Job) -> None:
    lines = StallLines(job.records, LIMIT)
    lines.note(job.job_id)
    await job.control(1, paused=True)
    assert await told(lines, 3 * LIMIT) == []
    await job.control(2, paused=False)
    assert len(await told(lines, 5 * LIMIT)) == 1
    await job.close(End.CANCELLED)
    assert await told(lines, 9 * LIMIT) == []
    assert not lines._look_at


async def test_a_workflow_can_be_told_what_it_does_not_see(job: Job) -> None:
    activities = JobActivities(
        job.records, FileStorage(Path("nowhere")), cast("Intake", None), cast("Terms", None), cast("Pace", None), LIMIT
    )
    run = RunRef(job_id=job.job_id, run_id=job.run, user_id=None)
    environment = ActivityEnvironment()
    assert await environment.run(activities.record_faults, run) == Faults()
    for ordinal in range(3):
        await job.tried(ordinal, Outcome.FAULT, reason="HTTP 503")
    faults = await environment.run(activities.record_faults, run)
    assert [(one.stage_index, one.retrying, one.fault) for one in faults.stages] == [(0, 3, "HTTP 503")]
    assert [(one.provider, one.retrying) for one in faults.failing] == [("offline", 3)]
    assert not faults.stalled


async def test_a_job_whose_row_was_broken_hides_no_other_that_stalls(job: Job) -> None:
    records = job.records
    assert isinstance(records, SqliteRecords)
    tables = SqliteTables(records)
    broken = await RecordsFixture(records, tables).opened(None)
    await tables.plant(
        "update quel_production_jobs set updated_at = 'yesterday' where job_id = :job", job=str(broken.job_id)
    )
    lines = StallLines(records, LIMIT)
    for job_id in (broken.job_id, job.job_id):
        lines.note(job_id)
    unreadable, stalled = await told(lines, 2 * LIMIT)
    assert "updated_at must be a time" in str(unreadable)
    assert f"'job_id': '{job.job_id}'" in str(stalled)
    assert await told(lines, 2.5 * LIMIT) == []
