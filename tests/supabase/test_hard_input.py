"""What PostgreSQL cannot keep, numbers that are too large, and calls that do not fit the functions."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from darkroom.domain.errors import (
    JobNotFound,
    NotPossibleNow,
    OrderRejected,
    RecordsRefused,
    RecordsUnavailable,
    RunRefused,
)
from darkroom.domain.images import Outcome, Settlement
from darkroom.domain.jobs import End, NewJob
from darkroom.domain.receipts import StageEnd
from darkroom.domain.rounds import StageStatus
from darkroom.records.supabase import SupabaseRecords
from darkroom.records.supabase.functions import Functions
from tests.support.records.fixture import RecordsFixture
from tests.support.records.tables import PostgresTables
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project

UNKEEPABLE = ["nul \x00 inside", "half \ud83d of one", "\x00\x00", "\udfff"]


@pytest.fixture
async def fixture(project: Project) -> AsyncIterator[RecordsFixture]:
    records = SupabaseRecords(await open_project(project))
    yield RecordsFixture(records, PostgresTables(project.database_uri))
    await records.close()


@pytest.fixture
async def functions(project: Project) -> AsyncIterator[Functions]:
    functions = Functions(await open_project(project))
    yield functions
    await functions.close()


@pytest.mark.parametrize("text", UNKEEPABLE)
async def test_an_order_with_text_that_cannot_be_kept_is_rejected(fixture: RecordsFixture, text: str) -> None:
    before = await fixture.dump()
    for document in ({"prompt": text}, {"stages": [{"prompt": [text]}]}):
        with pytest.raises(OrderRejected):
            await fixture.records.create_job(
                NewJob(
                    job_id=uuid4(),
                    job_type="x",
                    user_id=None,
                    production_id=None,
                    document=document,
                    total_images=1,
                    priority=3,
                )
            )
    assert await fixture.dump() == before


@pytest.mark.parametrize("text", UNKEEPABLE)
async def test_a_reason_with_such_text_stops_nothing(fixture: RecordsFixture, text: str) -> None:
    """A provider's words and a user's: what they explain is written all the same."""
    kept = "".join("\N{REPLACEMENT CHARACTER}" if letter in "\x00\ud83d\udfff" else letter for letter in text)
    job = await fixture.opened(await fixture.member(), (2,))
    call = uuid4()
    await job.begin(0, call=call)
    await job.end(call, Outcome.MISSED, text)
    [attempt] = (await fixture.dump())["quel_generation_attempts"]
    assert attempt["reason"] == kept
    assert await job.control(1, paused=True, reason=text)
    assert (await job.row()).pause_reason == kept
    stage = StageEnd(stage_index=0, status=StageStatus.SHORT, reason=text)
    receipt = await job.close(End.FAILED, error=text, stages=(stage,))
    assert (receipt.error_message, receipt.missing[0].reason) == (kept, kept)
    pending = await fixture.pending(None)
    assert await fixture.records.cancel_pending(pending.job_id, text)
    rejected = await fixture.pending(None)
    assert (await rejected.open(rejection=text)).failure == kept


async def test_a_balance_that_would_not_fit_is_refused_in_words(fixture: RecordsFixture) -> None:
    user_id = await fixture.member(2_000_000_000)
    before = await fixture.dump()
    with pytest.raises(NotPossibleNow, match="2000000000 credits; with 1000000000 more the balance would not be"):
        await fixture.records.grant(user_id, 1_000_000_000, "too much")
    assert await fixture.dump() == before
    assert (await fixture.records.grant(user_id, 147_483_647, "the last")).balance == 2**31 - 1


async def test_numbers_beyond_every_column_change_nothing(fixture: RecordsFixture) -> None:
    assert await fixture.records.reference_owners([2**31, 2**62, -1, 0]) == {}
    assert await fixture.records.stored_file(2**62) is None
    job = await fixture.opened(await fixture.member(), (2,))
    before = await fixture.dump()
    for stage, ordinal in ((2**31, 0), (0, 2**31), (-(2**31) - 1, 0)):
        with pytest.raises(RecordsRefused):
            await job.begin(ordinal, stage)
        with pytest.raises(RecordsRefused):
            await job.settle(ordinal, stage)
    assert await fixture.dump() == before


async def test_a_worker_of_before_that_names_no_model_begins_its_calls(
    fixture: RecordsFixture, functions: Functions
) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    call = {"stage_index": 0, "ordinal": 0, "run_id": job.run, "call_id": str(uuid4()), "round": 0, "attempt": 1}
    begun = await functions.call("begin_attempt", job_id=str(job.job_id), provider="offline", looked=False, **call)
    assert begun["begin"] == "begun"
    [row] = (await fixture.dump())["quel_generation_attempts"]
    assert (row["call_id"], row["model"]) == (call["call_id"], None)


async def test_an_image_of_a_stage_that_was_not_ordered_is_never_charged(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    await job.make(0, stage=5)
    assert (await job.settle(0, stage=5)).settlement is Settlement.STAGE_FULL
    assert (await job.close()).total.charged == 0


async def test_settling_a_job_whose_order_was_rejected_charges_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.pending(await fixture.member(), (2,))
    await job.open(rejection="no such thing")
    await job.make(0)
    assert (await job.settle(0)).settlement is Settlement.STAGE_FULL
    receipt = await job.close()
    assert (receipt.delivered, receipt.total.charged) == (0, 0)


@pytest.mark.parametrize("beginning", ["%", "_", "\\", "'", "~", "0' or true --", "\u00e9", "A", " "])
async def test_a_beginning_is_taken_literally(fixture: RecordsFixture, beginning: str) -> None:
    job = await fixture.pending(None)
    assert await fixture.records.jobs_beginning(beginning, 10) == []
    for length in (0, 1, 8, 9, 36):
        found = await fixture.records.jobs_beginning(str(job.job_id)[:length], 10)
        assert [row.job_id for row in found] == [job.job_id]


async def test_limits_of_nothing_and_less_give_nothing(fixture: RecordsFixture) -> None:
    job = await fixture.opened(await fixture.member(), (2,))
    for limit in (0, -1, -(2**31)):
        assert await fixture.records.next_ordinals(job.job_id, 0, limit) == []
    assert await fixture.records.jobs(None, 0) == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("settle", {"job": str(uuid4())}),
        ("settle", {}),
        ("job", {"job_id": str(uuid4()), "more": 1}),
        ("no_such_function", {}),
    ],
)
async def test_a_call_that_fits_no_function_says_which_migrations_are_needed(
    functions: Functions, name: str, arguments: dict[str, object]
) -> None:
    with pytest.raises(RecordsUnavailable, match=r"apply supabase/migrations up to \d{14}"):
        await functions.call(name, **arguments)


async def test_a_run_or_job_that_is_not_there_is_refused_in_words(fixture: RecordsFixture) -> None:
    stranger = fixture.job(None)
    for call in (stranger.begin(0), stranger.attach(0), stranger.settle(0), stranger.close(), stranger.control(1)):
        with pytest.raises(JobNotFound, match=f"job {stranger.job_id} does not exist"):
            await call
    job = await fixture.opened(None, (1,))
    with pytest.raises(RunRefused, match="another run of the job has taken over"):
        await job.close(run="somebody else's")
