"""An answer without a picture holds no room for others while the records are away."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities.calls import ProviderCalls
from activities.provider_health import ProviderHealth
from activities.staging import Staging
from darkroom.decoding.children import Children
from darkroom.domain.attempts import AttemptEnd
from darkroom.domain.images import GenerateInput, Outcome
from darkroom.domain.orders import Stage
from darkroom.pictures import PictureWork
from darkroom.providers.answer_room import AnswerRoom
from darkroom.records.sqlite import SqliteRecords
from darkroom.storage.files import FileStorage
from tests.support.fakes.over_http import GEMINI
from tests.support.records.fixture import RecordsFixture
from tests.support.records.tables import SqliteTables
from tests.support.until import until


class Waiting(SqliteRecords):
    """Takes the end of no call before it is told to."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.asked: list[UUID] = []
        self.goes_on = asyncio.Event()

    async def finish_attempt(self, call_id: UUID, end: AttemptEnd) -> None:
        self.asked.append(call_id)
        await self.goes_on.wait()
        await super().finish_attempt(call_id, end)

    async def stage(self, job_id: UUID, stage_index: int) -> Stage:
        return (await super().stage(job_id, stage_index)).model_copy(update={"references": ()})


@pytest.fixture
async def records() -> AsyncIterator[Waiting]:
    records = Waiting()
    yield records
    await records.close()


async def test_misses_that_wait_for_the_records_keep_no_answer_from_being_read(
    records: Waiting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.calls.AnswerRoom", lambda: AnswerRoom(1, 3600.0))
    fixture = RecordsFixture(records, SqliteTables(records))
    job = await fixture.opened(await fixture.member(), (3,))
    storage, children = FileStorage(tmp_path / "files"), Children()

    def given(ordinal: int) -> GenerateInput:
        return GenerateInput(key=job.key(ordinal), run_id=job.run, round=0, provider="offline")

    async with GEMINI.server("text-only", "text-only", "png") as server, GEMINI.at(server) as provider:
        calls = ProviderCalls(
            records,
            storage,
            Staging(storage, FileStorage(tmp_path / "beside")),
            {"offline": provider},
            PictureWork(80, 4, children),
            ProviderHealth(),
            last_attempt=1,
            longest=timedelta(seconds=30),
        )

        def begun(ordinal: int) -> "asyncio.Task[Any]":
            return asyncio.create_task(ActivityEnvironment().run(calls.make, given(ordinal), asyncio.Event()))

        async def two_wait() -> bool:
            return len(records.asked) == 2

        misses = [begun(0), begun(1)]
        try:
            await until(two_wait, "two misses that wait for the records")
            async with asyncio.timeout(20):
                made = await begun(2)
            assert made.outcome is Outcome.GENERATED
            assert not any(miss.done() for miss in misses)
        finally:
            records.goes_on.set()
        assert [result.outcome for result in await asyncio.gather(*misses)] == [Outcome.MISSED] * 2
    await children.close()
