"""Groups on PostgreSQL: whose error it is, what passes, and how many requests it takes."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from darkroom.domain.attempts import Attempt, AttemptEnd, Begin
from darkroom.domain.errors import JobNotFound, RecordsRefused, RecordsUnavailable
from darkroom.domain.images import ImageKey, Outcome, Settlement
from darkroom.proof.invariants import broken
from darkroom.records.faults import Fault, fault_of
from darkroom.records.supabase import SupabaseRecords
from tests.contracts.test_records_faults import PASSING, UNKNOWN
from tests.support.records.fixture import PRICE, RecordsFixture
from tests.support.records.groups import attach_group, settle_group
from tests.support.records.tables import PostgresTables
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project
from tests.support.until import until

SETTLED, REFUSED = Settlement.SETTLED, Settlement.REFUSED


@pytest.fixture
async def fixture(project: Project) -> AsyncIterator[RecordsFixture]:
    records = SupabaseRecords(await open_project(project))
    yield RecordsFixture(records, PostgresTables(project.database_uri))
    await records.close()


RULES = {
    "a rule": ("raise exception 'a rule of the front end'", "", "a rule of the front end (P0001)"),
    "an assertion": ("assert false, 'a rule of the front end'", "", "a rule of the front end (P0004)"),
    "a fault": ("perform 1 / 0", "", "division by zero (22012)"),
    "a rule that is looked at when a transaction ends": (
        "raise exception 'a rule of the front end'",
        "deferrable initially deferred",
        "a rule of the front end (P0001)",
    ),
}


@contextmanager
def rule(project: Project, event: str, when: str, deed: str, deferred: str = "") -> Iterator[None]:
    """A trigger that the project has of its own."""
    kind = "constraint trigger" if deferred else "trigger"
    with project.connect() as db:
        body = f"returns trigger language plpgsql as $$ begin {deed}; return new; end $$"
        when = f"after {event} {deferred} for each row when ({when}) execute function own_rule()"
        db.execute(f"create function own_rule() {body}; create {kind} own_rule {when}".encode())
        try:
            yield
        finally:
            db.execute("drop function own_rule() cascade")


@pytest.mark.parametrize("kind", RULES)
async def test_what_a_rule_of_the_project_refuses_is_one_images_alone(
    project: Project, fixture: RecordsFixture, kind: str
) -> None:
    deed, deferred, said = RULES[kind]
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (4,))
    reason = f"records {project.url}: {said}; retrying cannot help; fix the database, then restart the job"
    with rule(project, "insert on quel_attach", "new.ordinal = 1", deed, deferred):
        attached = await attach_group(job, range(4))
        with pytest.raises(RecordsRefused, match=re.escape(reason)):
            await job.attach(1)
    assert [one.refused for one in attached] == [False, True, False, False]
    assert attached[1].reason == reason
    assert (await attach_group(job, [1]))[0].attach_id is not None
    with rule(project, "insert on quel_credits", "new.idempotency_key like '%/2'", deed, deferred):
        settled = await settle_group(job, range(4))
        with pytest.raises(RecordsRefused, match=re.escape(reason)):
            await job.settle(2)
    assert [one.settlement for one in settled] == [SETTLED, SETTLED, REFUSED, SETTLED]
    assert (settled[2].attach_id, settled[2].reason) == (None, reason)
    assert (await fixture.account(user_id)).balance == 1_000 - 3 * PRICE
    assert broken(await fixture.dump()) == []
    assert [one.settlement for one in await settle_group(job, [2])] == [SETTLED]


@pytest.mark.parametrize("code", ["55P03", "53100", "40P01", "57014", "08006"])
async def test_what_passes_fails_the_whole_group_and_keeps_nothing_of_it(
    project: Project, fixture: RecordsFixture, code: str
) -> None:
    job = await fixture.opened(await fixture.member(), (4,))
    calls = [uuid4() for _ in range(4)]
    passing = f"raise exception 'for now' using errcode = '{code}'"
    before = await fixture.dump()
    with rule(project, "insert on quel_attach", "new.ordinal = 2", passing), pytest.raises(RecordsUnavailable):
        await attach_group(job, range(4))
    with rule(project, "insert on quel_generation_attempts", "new.ordinal = 2", passing):
        begins = [job.begin(ordinal, call=call) for ordinal, call in enumerate(calls)]
        answers = await asyncio.gather(*begins, return_exceptions=True)
    assert {type(answer) for answer in answers} == {RecordsUnavailable}
    assert await fixture.dump() == before
    await attach_group(job, range(4))
    before = await fixture.dump()
    charged = "insert on quel_credits", "new.idempotency_key like '%/2'"
    with rule(project, *charged, passing), pytest.raises(RecordsUnavailable):
        await settle_group(job, range(4))
    assert await fixture.dump() == before
    assert [one.settlement for one in await settle_group(job, range(4))] == [SETTLED] * 4


async def test_a_group_whose_server_process_is_killed_in_the_middle_of_it_is_settled_once_later(
    project: Project, fixture: RecordsFixture
) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (4,))
    attached = await attach_group(job, range(4))
    before = await fixture.dump()
    blocked = "select pid from pg_stat_activity where %s = any (pg_blocking_pids(pid))"
    async with await psycopg.AsyncConnection.connect(project.database_uri) as other:
        # Whoever writes the third charge waits for this one; the first two are written by then.
        charge = "insert into quel_credits (user_id, idempotency_key) values (%s, %s)"
        await other.execute(charge, (user_id, f"{job.key(2)}"))
        group = asyncio.create_task(settle_group(job, range(4)))
        async with await psycopg.AsyncConnection.connect(project.database_uri, autocommit=True) as db:

            async def waits() -> bool:
                return await (await db.execute(blocked, (other.info.backend_pid,))).fetchone() is not None

            await until(waits, "the group to be in the middle of it")
            await db.execute(f"select pg_terminate_backend(pid) from ({blocked}) as one", (other.info.backend_pid,))
        with pytest.raises(RecordsUnavailable):
            await group
        await other.rollback()
    assert await fixture.dump() == before
    settled = await settle_group(job, range(4))
    assert [(one.settlement, one.attach_id) for one in settled] == [(SETTLED, one.attach_id) for one in attached]
    assert (await fixture.account(user_id)).balance == 1_000 - 4 * PRICE


async def test_what_stands_in_the_way_of_one_image_leaves_nothing_of_the_others_behind(
    project: Project, fixture: RecordsFixture
) -> None:
    """They go one by one then, and a rule against changed attachments is none against new ones."""
    job = await fixture.opened(await fixture.member(), (4,))
    await job.deliver([0])
    deed = "raise exception 'attachments are never changed'"
    with rule(project, "update of attach_file_path on quel_attach", "true", deed):
        attached = await attach_group(job, range(4))
    assert [(one.refused, one.reason) for one in attached] == [(False, None)] * 4
    assert len({one.attach_id for one in attached}) == 4


async def test_images_are_delivered_and_charged_for_in_the_order_in_which_they_are_settled(
    project: Project, fixture: RecordsFixture
) -> None:
    job = await fixture.opened(await fixture.member(), (6,))
    await attach_group(job, range(6))
    asked = [[3, 0, 5], [4], [2, 1]]
    for ordinals in asked:
        await settle_group(job, ordinals)
    with project.connect() as db:
        delivered = db.execute("select ordinal, delivered_at from quel_attach order by delivered_at").fetchall()
        keys = db.execute("select idempotency_key, balance_after from quel_credits order by created_at").fetchall()
    order = [ordinal for ordinals in asked for ordinal in ordinals]
    assert [ordinal for ordinal, _ in delivered] == order
    assert len({at for _, at in delivered}) == len(order)
    assert keys == [(str(job.key(ordinal)), 1_000 - PRICE * (place + 1)) for place, ordinal in enumerate(order)]


async def test_where_nothing_stands_in_the_way_all_goes_at_once(project: Project, fixture: RecordsFixture) -> None:
    """Asked of the inner functions: without them, every image would go by itself, with the same answers."""
    user_id, calls = await fixture.member(), [str(uuid4()) for _ in range(3)]
    job = await fixture.opened(user_id, (3,))
    shared = {"job_id": str(job.job_id), "stage_index": 0, "run_id": job.run, "round": 0, "attempt": 1}
    attempts = [
        {**shared, "provider": "offline", "ordinal": ordinal, "call_id": call} for ordinal, call in enumerate(calls)
    ]
    files = [{"ordinal": ordinal, "call_id": call, "name": "a.webp"} for ordinal, call in enumerate(calls)]
    with project.connect() as db:

        def asked(call: str, *arguments: object) -> list[Any]:
            [answer] = db.execute(f"select to_jsonb(public.darkroom_{call})".encode(), arguments).fetchone() or ()
            return list(answer)

        assert sorted(asked("begin_first(%s)", Jsonb(attempts))) == sorted(calls)
        attached = asked("attach_at_once(%s, 0, %s, 'a', %s)", job.job_id, user_id, Jsonb(files))
        settled = asked("settle_at_once(%s, 0, %s, %s, %s, %s, null)", job.job_id, [2, 0, 1], job.run, user_id, PRICE)
    assert all(one["attach_id"] for one in attached)
    assert [one["attach_id"] for one in settled] == [attached[ordinal]["attach_id"] for ordinal in (2, 0, 1)]
    assert (await fixture.account(user_id)).balance == 1_000 - 3 * PRICE
    assert broken(await fixture.dump()) == []


def test_the_database_and_the_client_agree_on_what_passes(project: Project) -> None:
    codes = {code: fault_of(code, message) for code, message in {**PASSING, **UNKNOWN}.items() if len(code) == 5}
    with project.connect() as db:
        found = db.execute(
            "select code from unnest(%s::text[]) as code where darkroom_passes(code)", (list(codes),)
        ).fetchall()
    assert {code for (code,) in found} == {code for code, fault in codes.items() if fault is Fault.PASSING}
    assert len(found) > 10


def asked(job_id: UUID, ordinal: int, run: str = "run") -> Attempt:
    key = ImageKey(job_id=job_id, stage_index=0, ordinal=ordinal)
    return Attempt(key=key, run_id=run, call_id=uuid4(), round=0, provider="offline", worker="worker")


async def test_calls_that_begin_and_end_at_the_same_time_take_few_requests(
    project: Project, fixture: RecordsFixture
) -> None:
    jobs = [await fixture.opened(None, (20,)) for _ in range(3)]
    project.reset_calls()
    attempts = [asked(job.job_id, ordinal, job.run) for ordinal in range(20) for job in jobs]
    begun = await asyncio.gather(*(fixture.records.begin_attempt(attempt, looked=False) for attempt in attempts))
    assert [(one.begin, one.call_id) for one in begun] == [(Begin.BEGUN, one.call_id) for one in attempts]
    ends = [AttemptEnd(outcome=Outcome.MISSED, reason=f"no {place}", seconds=place) for place in range(len(attempts))]
    finish = fixture.records.finish_attempt
    await asyncio.gather(*(finish(one.call_id, end) for one, end in zip(attempts, ends, strict=True)))
    assert project.calls == {"POST rpc/darkroom_begin_attempts": 2, "POST rpc/darkroom_finish_attempts": 2}
    rows = {row["call_id"]: row for row in (await fixture.dump())["quel_generation_attempts"]}
    assert [rows[str(one.call_id)]["reason"] for one in attempts] == [end.reason for end in ends]
    assert {row["outcome"] for row in rows.values()} == {"missed"}


async def test_calls_that_begin_together_are_answered_each_as_if_it_came_alone(fixture: RecordsFixture) -> None:
    job, paused = await fixture.opened(await fixture.member(), (3,)), await fixture.opened(None, (3,))
    [delivered] = await job.deliver([0])
    first = uuid4()
    await job.begin(1, call=first)
    await paused.control(1, paused=True)
    begin = fixture.records.begin_attempt
    answers = await asyncio.gather(
        begin(asked(job.job_id, 0, job.run), looked=False),
        begin(asked(job.job_id, 1, job.run), looked=False),
        begin(asked(uuid4(), 0), looked=False),
        begin(asked(paused.job_id, 0, paused.run), looked=False),
        begin(asked(job.job_id, 2**31, job.run), looked=False),
        begin(asked(job.job_id, 2, "another run"), looked=False),
        begin(asked(job.job_id, 2, job.run), looked=False),
        return_exceptions=True,
    )
    known = [None if isinstance(answer, BaseException) else answer for answer in answers]
    assert [answer and answer.begin for answer in known] == [
        Begin.DELIVERED, Begin.LOOK, None, Begin.HELD, None, Begin.HELD, Begin.BEGUN,
    ]  # fmt: skip
    assert known[0] is not None
    assert known[1] is not None
    assert (known[0].attach_id, known[1].call_ids) == (delivered, (first,))
    assert isinstance(answers[2], JobNotFound)
    assert isinstance(answers[4], RecordsRefused)
    assert "out of range for type integer" in str(answers[4])
    assert len((await fixture.dump())["quel_generation_attempts"]) == 3


async def test_a_rule_against_one_call_is_that_calls_alone(project: Project, fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    calls = [uuid4() for _ in range(3)]
    deed, deferred, said = RULES["a rule that is looked at when a transaction ends"]
    with rule(project, "insert on quel_generation_attempts", "new.ordinal = 1", deed, deferred):
        begins = [job.begin(ordinal, call=call) for ordinal, call in enumerate(calls)]
        answers = await asyncio.gather(*begins, return_exceptions=True)
    assert [isinstance(answer, RecordsRefused) for answer in answers] == [False, True, False]
    assert f"{said}; retrying cannot help; fix the database" in str(answers[1])
    with rule(project, "update on quel_generation_attempts", "new.ordinal = 2", deed, deferred):
        ends = [job.end(call, Outcome.FAULT, "busy") for call in calls]
        ended = await asyncio.gather(*ends, return_exceptions=True)
    assert [isinstance(end, RecordsRefused) for end in ended] == [False, False, True]
    assert [row["outcome"] for row in (await fixture.dump())["quel_generation_attempts"]] == ["fault", None]
