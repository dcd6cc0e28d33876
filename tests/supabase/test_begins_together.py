"""Calls of the provider that begin together are what they would be one after another, whatever was before."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from darkroom.domain.images import Outcome
from darkroom.records.supabase import SupabaseRecords
from tests.support.records.fixture import Job, RecordsFixture
from tests.support.records.tables import PostgresTables
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project

IMAGES = 5
AT_ONCE = "select public.darkroom_begin_attempts(%s)"

BEFORE = ["nothing", "nothing", "begun", "made", "missed", "delivered"]
"""What was there of an image."""

ASKED = st.fixed_dictionaries(
    {
        "ordinal": st.integers(0, IMAGES - 1),
        "looked": st.booleans(),
        "attempt": st.sampled_from([1, 1, 2]),
        "late": st.sampled_from([False, False, True]),
        "run": st.sampled_from(["its own", "its own", "its own", "another"]),
        "job": st.sampled_from(["this", "this", "this", "none"]),
        "ceilings": st.sampled_from([None, None, {"user_credits": 1_000_000}, {"user_credits": 20}]),
    }
)
CASES = st.fixed_dictionaries(
    {
        "before": st.lists(st.sampled_from(BEFORE), min_size=IMAGES, max_size=IMAGES),
        "quantity": st.integers(1, IMAGES),
        "control": st.sampled_from([{}, {}, {}, {"paused": True}, {"cancel_requested": True}]),
        "asked": st.lists(ASKED, min_size=2, max_size=6),
    }
)
Case = Mapping[str, Any]
USUAL = {"looked": False, "attempt": 1, "late": False, "run": "its own", "job": "this", "ceilings": None}
MOST_READ = 100
"""Rows, for a picture or two."""


@dataclass
class Side:
    """One of two jobs that are alike."""

    job: Job
    names: dict[str, str] = field(default_factory=dict)
    """Of calls: what they are called on either side."""
    numbers: Iterator[int] = field(default_factory=count)

    def call(self) -> UUID:
        call_id = uuid4()
        self.names[str(call_id)] = f"call {next(self.numbers)}"
        return call_id

    async def prepare(self, case: Case) -> None:
        for ordinal, before in enumerate(case["before"]):
            if before == "nothing":
                continue
            call = self.call()
            await self.job.begin(ordinal, call=call, attempt=2)
            if before == "missed":
                await self.job.end(call, Outcome.MISSED, "no picture")
            elif before in {"made", "delivered"}:
                await self.job.attach(ordinal, call=call)
            if before == "delivered":
                await self.job.settle(ordinal)
        if case["control"]:
            await self.job.control(1, **case["control"])

    def attempts(self, case: Case) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        return [
            {
                "job_id": str(self.job.job_id if one["job"] == "this" else UUID(int=0)),
                "stage_index": 0,
                "ordinal": one["ordinal"],
                "run_id": self.job.run if one["run"] == "its own" else self.job.named(2),
                "call_id": str(self.call()),
                "round": 0,
                "provider": "offline",
                "model": "a model",
                "attempt": one["attempt"],
                "worker": "a worker",
                "taken_at": (now - timedelta(hours=one["late"])).isoformat(),
                "looked": one["looked"],
                "ceilings": one["ceilings"],
            }
            for one in case["asked"]
        ]

    def own(self, said: Any) -> Any:
        """What was said, without what is this side's alone."""
        text = json.dumps(said).replace(str(self.job.job_id), "JOB")
        for call_id, name in self.names.items():
            text = text.replace(call_id, name)
        text = text.replace(str(self.job.order.user_id), "USER")
        return json.loads(text)

    def rows(self, db: psycopg.Connection) -> list[Any]:
        query = (
            "select call_id::text, ordinal, run_id, attempt, model, worker, quel_member_id::text, credits, outcome"
            " from public.quel_generation_attempts where job_id = %s order by attempt_id"
        )
        return sorted(self.own(list(row)) for row in db.execute(query, (self.job.job_id,)).fetchall())


def _alike(said: Sequence[Any]) -> list[Any]:
    """Without the ids of attachments, and without when a ceiling frees what it counts: soon, or on the next day."""
    return [{**one, "attach_id": "attach_id" in one, "spent": {**one.get("spent", {}), "until": None}} for one in said]


@asynccontextmanager
async def sides(project: Project, quantity: int, number: int = 1) -> AsyncIterator[list[Side]]:
    records = SupabaseRecords(await open_project(project))
    fixture = RecordsFixture(records, PostgresTables(project.database_uri))
    try:
        yield [Side(await fixture.opened(await fixture.member(100_000), (quantity,))) for _ in range(number)]
    finally:
        await records.close()


async def compare(project: Project, case: Case) -> None:
    async with sides(project, case["quantity"], 2) as (alone, together):
        await _compare(project, case, alone, together)


async def _compare(project: Project, case: Case, alone: Side, together: Side) -> None:
    with project.connect() as db:
        for side in (alone, together):
            await side.prepare(case)
        one_by_one = [
            said
            for attempt in alone.attempts(case)
            for said in db.execute(AT_ONCE, (Jsonb([attempt]),)).fetchone()[0]  # type: ignore[index]
        ]
        at_once = db.execute(AT_ONCE, (Jsonb(together.attempts(case)),)).fetchone()[0]  # type: ignore[index]
        assert _alike(together.own(at_once)) == _alike(alone.own(one_by_one))
        assert together.rows(db) == alone.rows(db)


@pytest.mark.parametrize("examples", [25, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_calls_that_begin_together_are_what_they_would_be_one_after_another(migrated: Project, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(CASES)
    def property_(case: Case) -> None:
        async def one() -> None:
            migrated.reset()
            await compare(migrated, case)

        asyncio.run(one())

    property_()


REFUSING = """
create function refuse() returns trigger language plpgsql as
  $$ begin raise exception 'a rule of the front end'; end $$;
create trigger refusing before insert on public.quel_generation_attempts
  for each row when (new.ordinal = 1) execute function refuse();
"""


async def test_what_a_rule_of_the_project_refuses_is_one_calls_alone(project: Project) -> None:
    async with sides(project, IMAGES) as (side,):
        _refuse(project, side)


def _refuse(project: Project, side: Side) -> None:
    attempts = side.attempts({"asked": [{**USUAL, "ordinal": ordinal} for ordinal in range(3)]})
    with project.connect() as db:
        db.execute(REFUSING)
        try:
            [said] = db.execute(AT_ONCE, (Jsonb(attempts),)).fetchone() or ()
        finally:
            db.execute("drop function refuse() cascade")
        assert [one.get("begin") for one in said] == ["begun", None, "begun"]
        assert said[1] == {"code": "P0001", "message": "a rule of the front end"}
        assert [row[1] for row in side.rows(db)] == [0, 2]


async def test_a_connection_that_planned_for_a_small_job_reads_no_more_of_a_large_one(project: Project) -> None:
    """Who delivers thousands of pictures within a minute is ahead of the statistics."""
    async with sides(project, 4_000) as (side,):
        _work_while_a_job_grows(project, side)


WELL_PLANNED = 8
"""Calls after which PostgreSQL keeps its plans."""


def _work_while_a_job_grows(project: Project, side: Side) -> None:
    job = side.job
    read = "select sum(seq_tup_read + idx_tup_fetch) from pg_stat_xact_user_tables where relname = 'quel_attach'"
    with project.connect() as db:

        def deliver(ordinals: Sequence[int]) -> int:
            attempts = side.attempts({"asked": [{**USUAL, "ordinal": ordinal} for ordinal in ordinals]})
            files = [{"ordinal": one["ordinal"], "call_id": one["call_id"], "name": "a"} for one in attempts]
            stage = job.job_id, job.run
            # As after a refresh just now: that reads all of the job, at most once a second.
            db.execute("update public.quel_production_jobs set refreshed_at = now() where job_id = %s", stage[:1])
            with db.transaction():
                db.execute(AT_ONCE, (Jsonb(attempts),))
                db.execute("select public.darkroom_attach_group(%s, 0, %s, 'a', %s)", (*stage, Jsonb(files)))
                db.execute("select public.darkroom_settle_group(%s, 0, %s, %s)", (*stage, list(ordinals)))
                [rows] = db.execute(read).fetchone() or ()
            return int(rows)

        db.execute("analyze public.quel_attach, public.quel_generation_attempts")
        for first in range(0, 3 * WELL_PLANNED, 3):
            deliver([first])
            deliver([first + 1, first + 2])
        db.execute(
            "insert into public.quel_attach (job_id, stage_index, ordinal, attach_file_path, delivered_at)"
            " select %s, 0, n, 'path', now() from generate_series(1000, 3999) as n",
            (job.job_id,),
        )
        assert deliver([100]) < MOST_READ
        assert deliver([101, 102]) < MOST_READ
