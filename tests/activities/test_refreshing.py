"""The job's row catches up with what is settled, although no further settlement comes (spec §2)."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from activities.refreshing import CATCH_UP_AFTER, RowRefresher
from darkroom.domain.errors import RecordsUnavailable
from darkroom.records.sqlite import SqliteRecords
from tests.support.records.fixture import Job, RecordsFixture
from tests.support.records.tables import SqliteTables
from tests.support.until import until

SOON = 0.05


class CountingRecords(SqliteRecords):
    """Real records that count refreshes, fail so many of them, and can hold one."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.refreshes = 0
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def refresh(self, job_id: UUID) -> None:
        self.refreshes += 1
        await self.gate.wait()
        if self.failures > 0:
            self.failures -= 1
            raise RecordsUnavailable("the database is locked")
        await super().refresh(job_id)


@pytest.fixture
async def records() -> AsyncIterator[CountingRecords]:
    opened = CountingRecords()
    yield opened
    await opened.close()


@pytest.fixture
async def job(records: CountingRecords) -> Job:
    """A job of ten images whose row has just been refreshed."""
    fixture = RecordsFixture(records, SqliteTables(records))
    return await fixture.opened(await fixture.member(), (10,))


async def settle(job: Job, refresher: RowRefresher, ordinal: int) -> None:
    """Deliver one image as the credit activity does."""
    await job.make(ordinal)
    settled = await job.settle(ordinal)
    assert settled.row_trails, "the row was refreshed less than a second ago"
    refresher.due(job.job_id)


async def until_shown(job: Job, images: int) -> None:
    async def shown() -> bool:
        row = await job.row()
        return row.completed_images == len(row.generated_attach_ids) == images

    await until(shown, f"{images} images on the row", seconds=5)


async def until_refreshes(records: CountingRecords, number: int) -> None:
    async def enough() -> bool:
        return records.refreshes >= number

    await until(enough, f"{number} refreshes", seconds=5)


def test_the_row_trails_by_less_than_a_second() -> None:
    assert 0 < CATCH_UP_AFTER < 1


async def test_a_burst_is_shown_by_one_refresh(job: Job, records: CountingRecords) -> None:
    refresher = RowRefresher(records, after=SOON)
    for ordinal in range(3):
        await settle(job, refresher, ordinal)
    await until_shown(job, 3)
    assert records.refreshes == 1
    await refresher.close()
    assert records.refreshes == 1


async def test_a_settlement_during_the_refresh_asks_for_another(job: Job, records: CountingRecords) -> None:
    refresher = RowRefresher(records, after=SOON)
    records.gate.clear()
    await settle(job, refresher, 0)
    await until_refreshes(records, 1)
    await settle(job, refresher, 1)
    await until_refreshes(records, 2)
    records.gate.set()
    await until_shown(job, 2)
    await refresher.close()


async def test_a_refresh_that_fails_is_tried_again(job: Job, records: CountingRecords) -> None:
    refresher = RowRefresher(records, after=SOON)
    records.failures = 2
    await settle(job, refresher, 0)
    await until_shown(job, 1)
    assert records.refreshes == 3
    await refresher.close()


async def test_each_job_is_refreshed(job: Job, records: CountingRecords) -> None:
    refresher = RowRefresher(records, after=SOON)
    fixture = RecordsFixture(records, SqliteTables(records))
    other = await fixture.opened(await fixture.member(), (2,))
    await settle(job, refresher, 0)
    await settle(other, refresher, 0)
    await until_shown(job, 1)
    await until_shown(other, 1)
    await refresher.close()


async def test_a_worker_that_stops_refreshes_what_still_waits(job: Job, records: CountingRecords) -> None:
    refresher = RowRefresher(records, after=600)
    await settle(job, refresher, 0)
    await refresher.close()
    row = await job.row()
    assert (row.completed_images, records.refreshes) == (1, 1)
