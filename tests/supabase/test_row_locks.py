"""What must wait for what, shown with one transaction that is held open while another comes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from darkroom.domain.attempts import Begin
from darkroom.domain.errors import RunRefused
from darkroom.domain.images import Settlement
from darkroom.domain.jobs import End
from darkroom.records.supabase import SupabaseRecords
from tests.support.records.fixture import PRICE, Job, RecordsFixture
from tests.support.records.groups import attach_group, settle_group
from tests.support.records.tables import PostgresTables
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project


@pytest.fixture
async def fixture(project: Project) -> AsyncIterator[RecordsFixture]:
    records = SupabaseRecords(await open_project(project))
    yield RecordsFixture(records, PostgresTables(project.database_uri))
    await records.close()


@pytest.fixture
async def first(project: Project) -> AsyncIterator[psycopg.AsyncConnection]:
    """A transaction that somebody else is in; committed by the test."""
    async with await psycopg.AsyncConnection.connect(project.database_uri) as db:
        yield db


async def done(db: psycopg.AsyncConnection, function: str, *values: object) -> Any:
    """What a function answers within the open transaction."""
    places = ", ".join(["%s"] * len(values))
    row = await (await db.execute(f"select public.{function}({places})".encode(), values)).fetchone()
    assert row is not None
    return row[0]


async def begun(db: psycopg.AsyncConnection, job: Job, ordinal: int, call: UUID) -> Any:
    return await done(db, "darkroom_begin_attempt", job.job_id, 0, ordinal, job.run, call, 0, "offline", 1, True)


async def waits_for(project: Project, first: psycopg.AsyncConnection, work: Awaitable[Any]) -> Any:
    """The answer of work that cannot end before the first transaction does."""
    task = asyncio.ensure_future(work)
    blocked = "select count(*) from pg_stat_activity where %s = any (pg_blocking_pids(pid))"
    async with await psycopg.AsyncConnection.connect(project.database_uri, autocommit=True) as db:
        while True:
            await asyncio.wait({task}, timeout=0.01)
            assert not task.done(), f"did not wait: {task}"
            row = await (await db.execute(blocked, (first.info.backend_pid,))).fetchone()
            if row != (0,):
                break
    await first.commit()
    return await task


async def test_a_pause_waits_for_an_attempt_that_began_before(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    assert (await begun(first, job, 0, uuid4()))["begin"] == "begun"
    assert await waits_for(project, first, job.control(1, paused=True))
    assert len((await fixture.dump())["quel_generation_attempts"]) == 1


async def test_a_pause_waits_for_attempts_that_began_together_before(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    jobs = [await fixture.opened(await fixture.member(), (3,)) for _ in range(2)]
    attempts = [
        {"job_id": str(job.job_id), "stage_index": 0, "ordinal": ordinal, "run_id": job.run, "call_id": str(uuid4()),
         "round": 0, "provider": "offline", "attempt": 1, "looked": False}
        for ordinal in range(2) for job in jobs
    ]  # fmt: skip
    answers = await done(first, "darkroom_begin_attempts", json.dumps(attempts))
    assert [answer["begin"] for answer in answers] == ["begun"] * 4
    assert await waits_for(project, first, jobs[1].control(1, paused=True))
    assert len((await fixture.dump())["quel_generation_attempts"]) == 4


async def test_an_attempt_waits_for_a_pause_and_then_does_not_begin(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    control = {"version": 1, "paused": True, "cancel_requested": False, "failing": False}
    assert await done(first, "darkroom_set_control", job.job_id, job.run, json.dumps(control))
    answer = await waits_for(project, first, job.begin(0))
    assert (answer.begin, answer.reason) == (Begin.HELD, "the job is paused")
    assert (await fixture.dump())["quel_generation_attempts"] == []


async def test_attempts_of_one_job_do_not_wait_for_each_other(
    fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    await begun(first, job, 0, uuid4())
    assert (await job.begin(1)).begin is Begin.BEGUN
    await first.commit()


async def test_a_close_waits_for_an_attachment_and_removes_it(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    attached = ("path", 5, "sha")
    assert (await done(first, "darkroom_attach", job.job_id, 0, 0, job.run, None, None, *attached))["attach_id"]
    receipt = await waits_for(project, first, job.close(End.CANCELLED))
    assert receipt.delivered == 0
    await fixture.records.drop_undelivered(job.job_id, job.run)
    assert (await fixture.dump())["quel_attach"] == []


async def test_an_attachment_waits_for_a_close_and_then_is_refused(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    await done(first, "darkroom_close_run", job.job_id, job.run, "cancelled", None, "[]")
    attached = await waits_for(project, first, job.attach(0))
    assert (attached.attach_id, attached.reason) == (None, "the job has ended")
    assert (await fixture.dump())["quel_attach"] == []


async def test_a_settlement_waits_for_a_close_and_then_charges_nothing(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    await job.make(0)
    await done(first, "darkroom_close_run", job.job_id, job.run, "cancelled", None, "[]")
    assert (await waits_for(project, first, job.settle(0))).settlement is Settlement.RUN_REFUSED
    assert (await fixture.dump())["quel_credits"] == []


async def test_a_group_waits_for_a_close_and_then_charges_nothing(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    await attach_group(job, range(3))
    await done(first, "darkroom_close_run", job.job_id, job.run, "cancelled", None, "[]")
    settled = await waits_for(project, first, settle_group(job, range(3)))
    assert [one.settlement for one in settled] == [Settlement.RUN_REFUSED] * 3
    assert (await fixture.dump())["quel_credits"] == []


async def test_a_group_waits_for_another_and_charges_only_what_that_one_left(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (3,))
    attached = await attach_group(job, range(4))
    await done(first, "darkroom_settle_group", job.job_id, 0, job.run, [3, 1])
    settled = await waits_for(project, first, settle_group(job, range(4)))
    assert [one.settlement for one in settled] == [
        Settlement.SETTLED, Settlement.SETTLED, Settlement.STAGE_FULL, Settlement.SETTLED,
    ]  # fmt: skip
    assert [one.attach_id for one in (settled[1], settled[3])] == [attached[1].attach_id, attached[3].attach_id]
    assert (await fixture.account(user_id)).balance == 1_000 - 3 * PRICE


async def test_a_close_waits_for_a_settlement_and_counts_it(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    await job.make(0)
    assert (await done(first, "darkroom_settle", job.job_id, 0, 0, job.run))["settlement"] == "settled"
    receipt = await waits_for(project, first, job.close())
    assert (receipt.delivered, receipt.total.charged) == (1, PRICE)


async def test_settlements_of_two_jobs_of_one_member_take_turns_at_the_balance(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    user_id = await fixture.member(1_000)
    one, two = [await fixture.opened(user_id, (2,)) for _ in range(2)]
    await one.make(0)
    await two.make(0)
    await done(first, "darkroom_settle", one.job_id, 0, 0, one.run)
    assert (await waits_for(project, first, two.settle(0))).settlement is Settlement.SETTLED
    assert (await fixture.account(user_id)).balance == 1_000 - 2 * PRICE
    balances = [row["balance_after"] for row in (await fixture.dump())["quel_credits"]]
    assert balances == [1_000 - PRICE, 1_000 - 2 * PRICE]


async def test_a_settlement_waits_for_a_grant_and_keeps_it(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (2,))
    await job.make(0)
    await done(first, "darkroom_grant", user_id, 500, "gift")
    await waits_for(project, first, job.settle(0))
    assert (await fixture.account(user_id)).balance == 1_500 - PRICE


async def test_a_job_that_opens_waits_for_the_hold_of_another(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    user_id = await fixture.member(3 * PRICE)
    one, two = [await fixture.pending(user_id, (2,)) for _ in range(2)]
    await one.open()
    await one.close()
    restart = (one.job_id, one.named(2), "2027-01-01T00:00:00Z", True, None, "offline", None)
    assert (await done(first, "darkroom_open_run", *restart))["failure"] is None
    opened = await waits_for(project, first, two.open())
    assert opened.failure == f"insufficient credits: need {2 * PRICE}, available {PRICE}"


async def test_the_run_before_waits_for_one_that_takes_over_and_is_refused(
    project: Project, fixture: RecordsFixture, first: psycopg.AsyncConnection
) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    newer = (job.job_id, job.named(2), "2027-01-01T00:00:00Z", False, None, "offline", None)
    assert (await done(first, "darkroom_open_run", *newer))["failure"] is None
    with pytest.raises(RunRefused, match="another run of the job has taken over"):
        await waits_for(project, first, job.close())
