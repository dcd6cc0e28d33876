"""Workers of 0.2.0 on the migrated database: they refuse answers with fields that they do not know."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from darkroom.records.supabase import SupabaseRecords
from tests.support.records.fixture import Job, RecordsFixture
from tests.support.records.tables import PostgresTables
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project

LOOK = {"begin", "attach_id", "call_id", "outcome", "reason", "final"}
SETTLED = {"settlement", "attach_id", "reason", "row_trails"}
"""The fields of those answers in 0.2.0."""


@pytest.fixture
async def records(project: Project) -> AsyncIterator[SupabaseRecords]:
    opened = SupabaseRecords(await open_project(project))
    yield opened
    await opened.close()


@pytest.fixture
async def job(records: SupabaseRecords, project: Project) -> Job:
    fixture = RecordsFixture(records, PostgresTables(project.database_uri))
    return await fixture.opened(await fixture.member(), (2,))


def image(job: Job, ordinal: int) -> dict[str, Any]:
    """As 0.2.0 names an image and its run."""
    return {"job_id": str(job.job_id), "stage_index": 0, "ordinal": ordinal, "run_id": job.run}


def attempt() -> dict[str, Any]:
    """As 0.2.0 asks for a call."""
    return {
        "call_id": str(uuid4()), "round": 0, "provider": "offline", "model": None, "attempt": 1, "looked": False,
    }  # fmt: skip


async def test_a_settlement_is_answered_as_before_however_often(records: SupabaseRecords, job: Job) -> None:
    await job.make(0)
    for _ in range(2):
        settled = await records._call("settle", **image(job, 0))
        assert settled["settlement"] == "settled"
        assert set(settled) <= SETTLED


async def test_a_second_call_is_told_to_look_as_before(records: SupabaseRecords, job: Job) -> None:
    await job.begin(0)
    look = await records._call("begin_attempt", **image(job, 0), **attempt())
    assert look["begin"] == "look"
    assert set(look) <= LOOK


async def test_a_call_of_a_full_stage_begins_as_before(records: SupabaseRecords, job: Job) -> None:
    """Settlement refuses its picture; the answer `full` would be none that 0.2.0 knows."""
    await job.deliver([0, 1])
    assert (await records._call("begin_attempt", **image(job, 7), **attempt()))["begin"] == "begun"


async def test_one_call_of_an_ordinal_is_listed_as_before(records: SupabaseRecords, job: Job) -> None:
    calls = [uuid4(), uuid4(), uuid4()]
    for call in calls[:2]:
        await job.begin(0, call=call, looked=True)
    await job.begin(1, call=calls[2])
    listed = await records._call("unsettled_attempts", job_id=str(job.job_id), stage_index=0, after=-1, limit=2)
    assert listed == [[0, str(calls[1])], [1, str(calls[2])]]
