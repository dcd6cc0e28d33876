"""The stages of a run are told in pages that fit into a payload of its history, whatever they are called."""

from pathlib import Path
from typing import cast

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from activities.jobs import JobActivities, Pace
from darkroom.domain.jobs import StartRun
from darkroom.domain.money import Terms
from darkroom.orders.intake import Intake
from darkroom.records.sqlite import SqliteRecords
from darkroom.storage.files import FileStorage
from tests.support.records.fixture import RecordsFixture, moment
from tests.support.records.tables import SqliteTables

STAGES = 200
LARGEST_PAYLOAD = 16 * 1024


async def test_long_labels_of_any_alphabet_make_pages_that_fit() -> None:
    records = SqliteRecords(":memory:")
    fixture = RecordsFixture(records, SqliteTables(records))
    job = fixture.job(await fixture.member(1_000_000), [2] * STAGES)
    named = [stage.model_copy(update={"label": f"{stage.stage_index:03} {'가' * 76}"}) for stage in job.order.stages]
    job.order = job.order.model_copy(update={"stages": tuple(named)})
    await job.create()
    await job.open()
    activities = JobActivities(
        records,
        FileStorage(Path("nowhere")),
        cast("Intake", None),
        Terms(unit_price=20, max_top_ups=5, providers=("offline",)),
        cast("Pace", None),
    )
    told = [0]
    while len(told) < STAGES:
        start = StartRun(
            job_id=job.job_id, run_id=job.run, started_at=moment(job.run), restart=False, stages_after=told[-1]
        )
        page = await ActivityEnvironment().run(activities.open_job, start)
        [payload] = await pydantic_data_converter.encode([page])
        assert payload.ByteSize() <= LARGEST_PAYLOAD
        told += [plan.stage_index for plan in page.stages]
        assert page.more_stages == (told[-1] < STAGES - 1)
    assert told == list(range(STAGES))
    await records.close()
