"""Many at once on one member's jobs, through PostgREST: no deadlock, and the books are right at the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from darkroom.domain.attempts import Begin
from darkroom.domain.errors import RunRefused
from darkroom.domain.images import Settlement
from darkroom.domain.jobs import End
from darkroom.domain.progress import JobStatus
from darkroom.domain.stored import NewReference
from darkroom.proof.invariants import broken
from darkroom.records import Records
from darkroom.records.supabase import SupabaseRecords
from darkroom.supabase import open_supabase
from tests.support.records.fixture import PRICE, Job, RecordsFixture
from tests.support.records.groups import attach_group, settle_group
from tests.support.records.organizations import (
    organization,
    organization_account,
    set_membership,
    set_organization,
)
from tests.support.records.tables import PostgresTables
from tests.support.supabase.project import Project

CLIENTS = 3
"""Of 20 connections each: more calls at once than PostgREST has connections to the database."""


async def opened(project: Project, *, adopted: bool) -> RecordsFixture:
    patient = httpx.Timeout(30)
    records: list[Records] = [
        SupabaseRecords(await open_supabase(project.url, project.service_role_key, timeouts=patient))
        for _ in range(CLIENTS)
    ]
    return RecordsFixture(records[0], PostgresTables(project.database_uri), records[1:], members_of_others=adopted)


@pytest.fixture(params=["described", pytest.param("migrated", marks=pytest.mark.slow)])
async def fixture(request: pytest.FixtureRequest) -> AsyncIterator[RecordsFixture]:
    project: Project = request.getfixturevalue(request.param)
    project.reset()
    before = deadlocks(project)
    fixture = await opened(project, adopted=request.param == "described")
    yield fixture
    dump = await fixture.dump()
    audit = await fixture.records.audit()
    for records in fixture.connections:
        await records.close()
    assert broken(dump) == []
    assert list(audit) == []
    assert deadlocks(project) == before


def deadlocks(project: Project) -> int:
    """How many the server has broken up."""
    with project.connect() as db:
        db.execute("select pg_stat_force_next_flush()")
        row = db.execute("select sum(deadlocks) from pg_stat_database").fetchone()
    assert row is not None
    return int(row[0])


def on(records: Records, job: Job) -> Job:
    """The same job and run over another connection."""
    return Job(records, job.order, job.job_id, job.run)


async def all_at_once(work: list[Awaitable[object]]) -> None:
    """Everything is refused or done; what else happens is raised."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, RunRefused):
            raise result


async def test_organizations_and_members_are_charged_at_once_while_one_is_suspended_again_and_again(
    fixture: RecordsFixture,
) -> None:
    users = [await fixture.member(1_000_000) for _ in range(3)]
    org_id = await organization(fixture, 1_000_000, users)
    shared = [await fixture.opened(user_id, (30,), org_id=org_id) for user_id in users for _ in range(2)]
    own = [await fixture.opened(user_id, (30,)) for user_id in users]
    settled: dict[UUID, int] = dict.fromkeys([job.job_id for job in (*shared, *own)], 0)

    async def deliver(job: Job, ordinals: range) -> None:
        here = on(fixture.connections[ordinals.start % CLIENTS], job)
        await attach_group(here, ordinals)
        results = await settle_group(here, ordinals)
        assert {one.settlement for one in results} <= {Settlement.SETTLED, Settlement.INSUFFICIENT}
        settled[job.job_id] += sum(one.settlement is Settlement.SETTLED for one in results)
        await here.records.grant_organization(org_id, 7, f"grant-{job.job_id}-{ordinals.start}")

    async def suspend() -> None:
        for status in ["suspended", "active"] * 5:
            await set_organization(fixture, org_id, status)
        for status in ["banned", "active"] * 5:
            await set_membership(fixture, org_id, users[0], status)

    groups = [(job, range(start, start + 6)) for start in range(0, 30, 6) for job in (*shared, *own)]
    await all_at_once([suspend(), *(deliver(job, ordinals) for job, ordinals in groups)])
    assert [settled[job.job_id] for job in own] == [30] * 3
    paid = sum(settled[job.job_id] for job in shared) * PRICE
    account = await organization_account(fixture, org_id)
    assert account.balance == 1_000_000 - paid + 7 * len(groups)
    assert account.held == sum(30 - settled[job.job_id] for job in shared) * PRICE
    assert [(await fixture.account(user_id)).balance for user_id in users] == [1_000_000 - 30 * PRICE] * 3


async def test_everything_at_once_on_one_members_jobs(fixture: RecordsFixture) -> None:
    chance = Random(1)
    user_id = await fixture.member(1_000_000)
    production_id = await fixture.production(user_id)
    jobs = [await fixture.opened(user_id, (12, 12), production_id=production_id) for _ in range(6)]
    versions = dict.fromkeys([job.job_id for job in jobs], 0)

    async def deliver(job: Job, stage: int, ordinal: int) -> None:
        first, second = (on(chance.choice(fixture.connections), job) for _ in range(2))
        call = uuid4()
        if (await first.begin(ordinal, stage, call=call, looked=True)).begin is not Begin.BEGUN:
            return
        await asyncio.gather(first.attach(ordinal, stage, call=call), second.attach(ordinal, stage, call=call))
        await asyncio.gather(first.settle(ordinal, stage), second.settle(ordinal, stage), first.settle(ordinal, stage))

    async def disturb(job: Job) -> None:
        records = chance.choice(fixture.connections)
        own = on(records, job)
        versions[job.job_id] += 1
        version = versions[job.job_id]
        paused = version % 4 == 1
        deeds: list[Callable[[], Awaitable[object]]] = [
            lambda: own.control(version, paused=paused),
            lambda: records.refresh(job.job_id),
            lambda: records.grant(user_id, 7, f"gift {version} for {job.job_id}"),
            lambda: records.grant(user_id, 7, "one key for all"),
            lambda: records.progress(job.job_id),
            records.unfinished_jobs,
            lambda: records.account(user_id),
            lambda: records.cancel_pending(job.job_id, "too late"),
            lambda: records.drop_undelivered(job.job_id, job.run),
        ]
        await asyncio.gather(*(deed() for deed in chance.sample(deeds, 4)))

    async def newcomer() -> None:
        job = fixture.job(user_id, (1,), production_id=production_id)
        await job.create()
        if chance.random() < 0.5:
            await job.records.cancel_pending(job.job_id, None)
        await job.open()

    async def end(job: Job, how: End) -> None:
        own = on(chance.choice(fixture.connections), job)
        await asyncio.gather(own.close(how), own.close(how))

    images = [(job, stage, ordinal) for ordinal in range(12) for stage in (0, 1) for job in jobs]
    for turn, first in enumerate(range(0, len(images), 48)):
        work: list[Awaitable[object]] = [deliver(*image) for image in images[first : first + 48]]
        work += [disturb(job) for job in jobs]
        work += [newcomer()]
        if turn == 2:
            work += [end(jobs[0], End.DELIVERED), end(jobs[1], End.CANCELLED), end(jobs[2], End.FAILED)]
            # A run that takes over while the one before it is still at work.
            work += [on(fixture.connections[1], jobs[3]).open(jobs[3].named(2))]
        chance.shuffle(work)
        await all_at_once(work)
    jobs[3].run = jobs[3].named(2)
    await all_at_once([job.close() for job in jobs[3:]])
    rows = [await job.row() for job in jobs]
    assert {row.status for row in rows} <= {JobStatus.COMPLETED, JobStatus.CANCELLED, JobStatus.FAILED}
    assert sum(row.completed_images for row in rows) > 40
    ids = {attach_id for row in rows for attach_id in row.generated_attach_ids}
    [production] = (
        row for row in (await fixture.dump())["quel_production_photo"] if row["production_id"] == str(production_id)
    )
    assert sorted(production["attach_ids"]) == sorted(ids)
    assert production["generated_image_count"] == len(ids)


async def test_groups_of_the_same_images_at_once_wait_for_each_other(fixture: RecordsFixture) -> None:
    """They insert the same rows, and would each wait for a row of the other if they did so in different orders."""
    chance = Random(2)
    user_id = await fixture.member(100_000)
    jobs = [await fixture.opened(user_id, (45, 3)) for _ in range(3)]
    connections = fixture.connections
    for job in jobs:
        calls = [uuid4() for _ in range(50)]
        await asyncio.gather(*(job.begin(ordinal, call=call) for ordinal, call in enumerate(calls)))
        groups = [chance.sample(range(50), 40) for _ in range(12)]
        work: list[Awaitable[object]] = [
            attach_group(on(connections[n % CLIENTS], job), group, calls=[calls[ordinal] for ordinal in group])
            for n, group in enumerate(groups)
        ]
        await all_at_once([*work, *(job.attach(ordinal, call=calls[ordinal]) for ordinal in range(0, 50, 5))])
    work = [
        settle_group(on(connections[n % CLIENTS], job), chance.sample(range(50), 40)) for n, job in enumerate(jobs * 8)
    ]
    work += [job.settle(ordinal) for job in jobs for ordinal in range(0, 50, 7)]
    work += [job.begin(ordinal, 1) for ordinal in range(3) for job in jobs]
    work += [job.control(1, paused=True) for job in jobs]
    chance.shuffle(work)
    await all_at_once(work)
    for job in jobs:
        assert (await job.close(End.CANCELLED)).delivered == 45
    assert (await fixture.account(user_id)).balance == 100_000 - 3 * 45 * PRICE


async def test_jobs_of_one_production_that_end_at_once_wait_for_each_other(fixture: RecordsFixture) -> None:
    """The checks of foreign keys of before share the production's key while each close wants its row."""
    user_id = await fixture.member(100_000)
    for _ in range(4):
        production_id = await fixture.production(user_id)
        jobs = [await fixture.opened(user_id, (1,), production_id=production_id) for _ in range(12)]
        for job in jobs:
            await job.deliver([0])
        await asyncio.gather(*(on(fixture.connections[n % CLIENTS], job).close() for n, job in enumerate(jobs)))


@pytest.mark.parametrize("asked", [{"paused": True}, {"cancel_requested": True}, {"failing": True}])
async def test_no_attempt_begins_once_the_flag_is_written(fixture: RecordsFixture, asked: dict[str, Any]) -> None:
    job = await fixture.opened(await fixture.member(100_000), (200,))
    begins = [asyncio.create_task(on(fixture.connections[n % CLIENTS], job).begin(n, call=uuid4())) for n in range(60)]
    await next(asyncio.as_completed(begins))
    assert await job.control(1, **asked)
    written = {row["call_id"] for row in (await fixture.dump())["quel_generation_attempts"]}
    answers = await asyncio.gather(*begins)
    begun = {str(answer.call_id) for answer in answers if answer.begin is Begin.BEGUN}
    assert begun == written
    assert {row["call_id"] for row in (await fixture.dump())["quel_generation_attempts"]} == written
    assert begun
    await job.close(End.CANCELLED)


async def test_an_image_is_settled_before_the_close_or_not_at_all(fixture: RecordsFixture) -> None:
    for _ in range(4):
        job = await fixture.opened(await fixture.member(10_000), (24,))
        for ordinal in range(24):
            await job.make(ordinal)
        settling = [on(fixture.connections[n % CLIENTS], job).settle(n) for n in range(24)]
        closing = asyncio.create_task(on(fixture.connections[1], job).close())
        settled = await asyncio.gather(*settling)
        receipt = await closing
        counted = [answer for answer in settled if answer.settlement is Settlement.SETTLED]
        assert (receipt.delivered, receipt.total.charged) == (len(counted), len(counted) * PRICE)
        assert {answer.settlement for answer in settled} <= {Settlement.SETTLED, Settlement.RUN_REFUSED}
        assert (await job.row()).completed_images == len(counted)
        assert receipt.total.released == (24 - len(counted)) * PRICE


async def test_a_balance_for_three_jobs_opens_three_of_ten(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(3 * 3 * PRICE + PRICE)
    jobs = [await fixture.pending(user_id, (3,)) for _ in range(10)]
    answers = await asyncio.gather(*(on(fixture.connections[n % CLIENTS], job).open() for n, job in enumerate(jobs)))
    assert len([answer for answer in answers if answer.failure is None]) == 3
    assert (await fixture.account(user_id)).held == 3 * 3 * PRICE
    await all_at_once([job.close() for job in jobs])
    assert (await fixture.account(user_id)).held == 0


async def test_two_runs_at_once_leave_one_in_charge(fixture: RecordsFixture) -> None:
    for _ in range(5):
        job = await fixture.pending(await fixture.member(), (3,))
        runs = [job.named(number) for number in (1, 2, 3, 4)]
        work = [on(fixture.connections[n % CLIENTS], job).open(run) for n, run in enumerate(runs)]
        answers = await asyncio.gather(*work)
        assert answers[-1].superseded is None
        live = [row["run_id"] for row in (await fixture.dump())["quel_job_runs"] if row["job_id"] == str(job.job_id)]
        assert runs[-1] in live
        for run in runs[:-1]:
            with pytest.raises(RunRefused):
                await job.close(run=run)
        await job.close(run=runs[-1])


async def test_one_picture_uploaded_many_times_at_once_is_one_attachment(fixture: RecordsFixture) -> None:
    users: list[UUID | None] = [await fixture.member(), await fixture.member(), None]

    def upload(user_id: UUID | None, records: Records) -> Awaitable[int]:
        path = f"references/{user_id}/picture.png"
        sha256 = "ab" * 32
        reference = NewReference(
            user_id=user_id, original_name="picture.png", path=path, size=9, media_type="image/png", sha256=sha256
        )
        return records.add_reference(reference)

    found = [
        set(await asyncio.gather(*(upload(user_id, fixture.connections[n % CLIENTS]) for n in range(20))))
        for user_id in users
    ]
    assert [len(ids) for ids in found] == [1, 1, 1]
    assert len(set.union(*found)) == 3


async def test_a_hundred_grants_with_one_key_are_one(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(0)
    await asyncio.gather(*(fixture.connections[n % CLIENTS].grant(user_id, 50, "invoice") for n in range(100)))
    assert (await fixture.account(user_id)).balance == 50
