"""Groups of images, attached and settled in one transaction: to each its own result, as if it had come alone."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from darkroom.domain.errors import JobNotFound
from darkroom.domain.groups import Attached
from darkroom.domain.images import Settlement
from darkroom.domain.jobs import End
from darkroom.domain.money import SettledImage
from darkroom.domain.sources import PictureSource
from tests.support.records.fixture import PRICE, RecordsFixture
from tests.support.records.groups import attach_group, settle_group

SETTLED, FULL, REFUSED = Settlement.SETTLED, Settlement.STAGE_FULL, Settlement.REFUSED
RUN_REFUSED, INSUFFICIENT = Settlement.RUN_REFUSED, Settlement.INSUFFICIENT

GIVE_UP = "; retrying cannot help; fix the database, then restart the job"


def settlements(results: Sequence[SettledImage]) -> list[Settlement]:
    return [result.settlement for result in results]


@asynccontextmanager
async def one_of_two_refused(fixture: RecordsFixture, table: str, which: str) -> AsyncIterator[None]:
    """Somebody has changed the schema: of these rows of a job there may be one."""
    await fixture.tables.plant(f"create unique index refusing on {table} (job_id) where {which}")
    try:
        yield
    finally:
        await fixture.tables.plant("drop index refusing")


async def test_each_image_of_a_group_gets_its_own_answer_in_their_order(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (4, 4))
    order = [2, 0, 3, 1]
    attached = await attach_group(job, order, 1)
    assert [one.refused for one in attached] == [False] * 4
    assert [one.attach_id for one in attached] == [(await job.attach(ordinal, 1)).attach_id for ordinal in order]
    settled = await settle_group(job, order, 1)
    assert [(one.settlement, one.attach_id) for one in settled] == [(SETTLED, one.attach_id) for one in attached]
    delivered = await fixture.records.delivered_pairs(job.job_id, 1, -1, 9)
    assert sorted(delivered) == sorted(zip(order, [one.attach_id for one in attached], strict=True))
    journal = [row.attach_id for row in reversed(await fixture.records.journal(user_id, 9))]
    assert journal == [one.attach_id for one in attached]
    account = await fixture.account(user_id)
    assert (account.balance, account.held) == (1_000 - 4 * PRICE, 4 * PRICE)


async def test_a_group_attaches_what_one_by_one_would_be_attached(fixture: RecordsFixture) -> None:
    job, alone = [await fixture.opened(await fixture.member(), (2,)) for _ in range(2)]
    calls, of_alone = [uuid4(), uuid4()], [uuid4(), uuid4()]
    for one, of_it in ((job, calls), (alone, of_alone)):
        for ordinal, call in enumerate(of_it):
            await one.begin(ordinal, call=call)
            await fixture.records.note_source(call, PictureSource(sha256="ab" * 32, media_type="image/png", c2pa=True))
    await attach_group(job, [0, 1], calls=calls)
    for ordinal, call in enumerate(of_alone):
        await alone.attach(ordinal, call=call)
    dump = await fixture.dump()
    own = {"attach_id", "job_id", "quel_member_id", "created_at"}
    rows = [
        [
            {name: str(value).replace(str(one.job_id), "").replace(str(one.order.user_id), "") for name, value in row}
            for row in ([(n, v) for n, v in found.items() if n not in own] for found in dump["quel_attach"])
            if str(one.job_id) in str(row)
        ]
        for one in (job, alone)
    ]
    assert len(rows[0]) == 2
    assert rows[0] == rows[1]
    outcomes = {row["call_id"]: row["outcome"] for row in dump["quel_generation_attempts"]}
    assert [outcomes[str(call)] for call in calls] == ["generated", "generated"]


async def test_a_settled_image_of_a_group_names_all_its_calls(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    first, second, other = uuid4(), uuid4(), uuid4()
    await job.begin(0, call=first)
    await job.begin(0, call=second, looked=True)
    await job.begin(1, call=other)
    await attach_group(job, [0, 1, 2], calls=[second, other, None])
    settled = await settle_group(job, [1, 0, 2, 7])
    assert [set(one.call_ids) for one in settled] == [{other}, {first, second}, set(), set()]


async def test_an_image_that_the_database_refuses_is_attached_never_and_holds_up_no_other(
    fixture: RecordsFixture,
) -> None:
    job = await fixture.opened(await fixture.member(), (4,))
    calls = [uuid4() for _ in range(4)]
    for ordinal, call in enumerate(calls):
        await job.begin(ordinal, call=call)
    async with one_of_two_refused(fixture, "quel_attach", "ordinal in (1, 2)"):
        attached = await attach_group(job, [0, 1, 2, 3], calls=calls)
        assert [(one.attach_id is None, one.refused) for one in attached] == [
            (False, False), (False, False), (True, True), (False, False),
        ]  # fmt: skip
        assert (attached[2].reason or "").startswith("records ")
        assert (attached[2].reason or "").endswith(GIVE_UP)
        assert "unique" in (attached[2].reason or "").lower()
        again = await attach_group(job, [0, 1, 2, 3], calls=calls)
        assert again == attached
    dump = await fixture.dump()
    assert [row["ordinal"] for row in dump["quel_attach"]] == [0, 1, 3]
    outcomes = {row["ordinal"]: row["outcome"] for row in dump["quel_generation_attempts"]}
    assert outcomes == {0: "generated", 1: "generated", 2: None, 3: "generated"}


async def test_an_image_that_the_database_refuses_is_charged_never_and_holds_up_no_other(
    fixture: RecordsFixture,
) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (4,))
    await attach_group(job, [0, 1, 2, 3])
    # Refused as it is marked, when its charge is written already.
    async with one_of_two_refused(fixture, "quel_attach", "delivered_at is not null and ordinal in (1, 2)"):
        settled = await settle_group(job, [0, 1, 2, 3])
        assert settlements(settled) == [SETTLED, SETTLED, REFUSED, SETTLED]
        assert (settled[2].reason or "").startswith("records ")
        assert (settled[2].reason or "").endswith(GIVE_UP)
        assert settlements(await settle_group(job, [2, 3])) == [REFUSED, SETTLED]
    account = await fixture.account(user_id)
    assert (account.balance, account.held) == (1_000 - 3 * PRICE, PRICE)
    assert settlements(await settle_group(job, [2])) == [SETTLED]
    assert (await job.close()).total.charged == 4 * PRICE


async def test_a_stage_that_is_full_in_the_middle_of_a_group_takes_the_first_ones(fixture: RecordsFixture) -> None:
    user_id = await fixture.member()
    job = await fixture.opened(user_id, (3, 3))
    await attach_group(job, range(6))
    assert settlements(await settle_group(job, [5, 0, 4, 1, 2, 3])) == [SETTLED, SETTLED, SETTLED, FULL, FULL, FULL]
    assert settlements(await settle_group(job, [1, 0, 5])) == [FULL, SETTLED, SETTLED]
    assert [pair[0] for pair in await fixture.records.delivered_pairs(job.job_id, 0, -1, 9)] == [0, 4, 5]
    assert (await fixture.account(user_id)).held == 3 * PRICE


@pytest.mark.parametrize("left", [0, 2 * PRICE, 2 * PRICE + PRICE - 1, 3 * PRICE])
async def test_a_balance_that_covers_a_part_of_a_group_pays_for_the_first_ones(
    fixture: RecordsFixture, left: int
) -> None:
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (5,))
    await attach_group(job, range(5))
    await fixture.spend(user_id, 1_000 - left)
    order = [3, 1, 4, 0, 2]
    settled = await settle_group(job, order)
    paid = left // PRICE
    assert settlements(settled) == [SETTLED] * paid + [INSUFFICIENT] * (5 - paid)
    refusals = {one.reason for one in settled[paid:]}
    assert refusals == {f"insufficient credits: need {PRICE}, balance {left % PRICE}"}
    assert {pair[0] for pair in await fixture.records.delivered_pairs(job.job_id, 0, -1, 9)} == set(order[:paid])
    assert (await fixture.account(user_id)).balance == left % PRICE
    # What is settled is answered as such, though there is no balance for another.
    assert settlements(await settle_group(job, order)) == settlements(settled)


async def test_a_hold_that_covers_a_part_of_a_group_pays_for_the_first_ones(planted: RecordsFixture) -> None:
    fixture = planted  # such a hold is what the audit finds
    user_id = await fixture.member(1_000)
    job = await fixture.opened(user_id, (4,))
    await attach_group(job, range(4))
    await fixture.tables.plant("update quel_credit_holds set amount = :left", left=2 * PRICE + 1)
    settled = await settle_group(job, range(4))
    assert settlements(settled) == [SETTLED, SETTLED, INSUFFICIENT, INSUFFICIENT]
    assert settled[3].reason == f"insufficient credits: need {PRICE}, the job's hold has 1 left"
    assert (await fixture.account(user_id)).balance == 1_000 - 2 * PRICE


async def test_a_run_that_is_not_the_jobs_own_attaches_and_settles_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    [delivered] = await job.deliver([0])
    await job.make(1)
    before = await fixture.dump()
    attached = await attach_group(job, [0, 1, 2], run="another")
    assert [one.attach_id for one in attached] == [delivered, None, None]
    assert [one.reason for one in attached] == [None, *["another run of the job has taken over"] * 2]
    assert not any(one.refused for one in attached)
    settled = await settle_group(job, [0, 1, 2], run="another")
    assert settlements(settled) == [SETTLED, RUN_REFUSED, RUN_REFUSED]
    assert (settled[0].attach_id, settled[1].reason) == (delivered, "another run of the job has taken over")
    assert await fixture.dump() == before


async def test_a_job_that_has_ended_attaches_and_settles_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (3,))
    await job.make(0)
    await job.close(End.CANCELLED)
    before = await fixture.dump()
    assert {one.reason for one in await attach_group(job, [0, 1])} == {"the job has ended"}
    assert settlements(await settle_group(job, [0, 1])) == [RUN_REFUSED, RUN_REFUSED]
    assert await fixture.dump() == before


async def test_an_image_that_is_not_attached_holds_up_no_other(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (4,))
    await attach_group(job, [0, 2])
    settled = await settle_group(job, [0, 1, 2])
    assert settlements(settled) == [SETTLED, RUN_REFUSED, SETTLED]
    assert settled[1].reason == f"image {job.key(1)} has no attachment"


async def test_no_group_is_too_small_and_a_job_that_is_not_there_has_none(fixture: RecordsFixture) -> None:
    job, stranger = await fixture.opened(await fixture.member()), fixture.job(None)
    before = await fixture.dump()
    nothing: list[list[Attached] | list[SettledImage]] = [
        list(await attach_group(job, [])),
        list(await settle_group(job, [])),
    ]
    assert nothing == [[], []]
    for call in (attach_group(stranger, [0]), settle_group(stranger, [0])):
        with pytest.raises(JobNotFound, match=f"job {stranger.job_id} does not exist"):
            await call
    assert await fixture.dump() == before


async def test_a_group_of_an_anonymous_job_is_free(fixture: RecordsFixture) -> None:
    job = await fixture.opened(None, (2,))
    await attach_group(job, [0, 1, 2])
    assert settlements(await settle_group(job, [0, 1, 2])) == [SETTLED, SETTLED, FULL]
    assert (await fixture.dump())["quel_credits"] == []
