"""Two providers over HTTP: who goes on when one cannot, and what a job does when nobody can (spec §5)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import pytest

from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt
from tests.support.fakes.gemini import FakeGemini
from tests.support.fakes.runware import FakeRunware
from tests.support.stacks.adapters import over_both_adapters
from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack
from tests.support.until import until

OUT_OF_QUOTA = "429-per-day"
REFUSES = "finish:SAFETY"


def settings_for(gemini: FakeGemini, runware: FakeRunware, **extra: object) -> dict[str, object]:
    """A worker's settings by which both are asked, Gemini first."""
    return {
        "IMAGE_PROVIDER": "gemini,runware",
        "GEMINI_API_KEY": gemini.key,
        "GEMINI_BASE_URL": gemini.url,
        "RUNWARE_API_KEY": runware.key,
        "RUNWARE_BASE_URL": runware.url,
        "TOP_UP_DELAY": 0.1,
        **extra,
    }


@asynccontextmanager
async def worker_with(
    darkroom: ProcessStack, gemini: FakeGemini, runware: FakeRunware, **extra: object
) -> AsyncIterator[None]:
    """The worker of this Darkroom, between these two servers."""
    async with AsyncExitStack() as servers:
        for server in (gemini, runware):
            await servers.enter_async_context(server)
        await darkroom.worker.start(settings_for(gemini, runware, **extra))
        yield


def made_by(receipt: Receipt) -> dict[str, tuple[int, int]]:
    """By provider: pictures delivered, and calls."""
    return {one.provider: (one.delivered, one.calls) for one in receipt.total.made_by}


async def check_receipt(darkroom: ProcessStack, job_id: UUID, receipt: Receipt, ordered: int) -> None:
    """Everything ordered is there and paid for, and the command line tells who made it."""
    assert (receipt.status, receipt.delivered) == (JobStatus.COMPLETED, ordered)
    assert await darkroom.balance() == OPENING_BALANCE - ordered * PRICE
    told = await darkroom.starter("receipt", str(job_id))
    assert told.status == 0, told.err
    assert f"delivered by: gemini {made_by(receipt)['gemini'][0]} (" in told.out
    assert f"runware {made_by(receipt)['runware'][0]} (" in told.out
    await darkroom.check_invariants()


@pytest.mark.slow
@over_both_adapters
async def test_when_gemini_is_out_of_quota_runware_makes_the_rest_without_a_pause(darkroom: ProcessStack) -> None:
    darkroom.records.watch_flags()
    gemini, runware = FakeGemini("png", "png", then=OUT_OF_QUOTA), FakeRunware()
    async with worker_with(darkroom, gemini, runware, STAGE_CONCURRENCY=2):
        job_id = await darkroom.order(6, 4)
        receipt = await darkroom.receipt(job_id)
        assert made_by(receipt)["gemini"][0] == 2
        assert made_by(receipt)["runware"] == (8, 8)
        assert runware.count == 8
        # Those under way when the first answer came, and nobody after them.
        assert gemini.count <= 2 + 4
        assert receipt.total.misses == receipt.total.top_up_rounds == 0
        assert darkroom.records.attempts_at(job_id, "pause") is None
        assert len(darkroom.worker.events("quota spent")) >= 1
        await check_receipt(darkroom, job_id, receipt, 10)


@pytest.mark.slow
async def test_what_gemini_refuses_three_times_runware_is_asked_for(darkroom: ProcessStack) -> None:
    gemini, runware = FakeGemini(then=REFUSES), FakeRunware()
    async with worker_with(darkroom, gemini, runware, STAGE_CONCURRENCY=1):
        job_id = await darkroom.order(4)
        receipt = await darkroom.receipt(job_id)
        assert made_by(receipt) == {"gemini": (0, 3), "runware": (4, 4)}
        assert receipt.total.refusals == 3
        await check_receipt(darkroom, job_id, receipt, 4)


@pytest.mark.slow
async def test_a_page_that_gemini_refuses_is_made_by_runware_in_the_next_round(darkroom: ProcessStack) -> None:
    """A stage of one picture has three calls in all: it must not spend them on who refuses it."""
    gemini, runware = FakeGemini(REFUSES, then="png"), FakeRunware()
    async with worker_with(darkroom, gemini, runware, STAGE_CONCURRENCY=1, PROVIDER_CONCURRENCY=1):
        job_id = await darkroom.submit({"pages": [{"dialogues": ["“Who is there?”"]}, {"dialogues": ["“Me.”"]}]})
        receipt = await darkroom.receipt(job_id)
        assert made_by(receipt) == {"gemini": (1, 2), "runware": (1, 1)}
        await check_receipt(darkroom, job_id, receipt, 2)


@pytest.mark.slow
@over_both_adapters
async def test_without_a_provider_left_the_job_pauses_and_another_worker_resumes_it(darkroom: ProcessStack) -> None:
    gemini, runware = FakeGemini("png", OUT_OF_QUOTA), FakeRunware()
    async with worker_with(darkroom, gemini, runware, IMAGE_PROVIDER="gemini", STAGE_CONCURRENCY=1):
        job_id = await darkroom.order(4)
        await darkroom.until_row(job_id, lambda row: row.paused, "the pause", 20)
        row = await darkroom.row(job_id)
        assert row.status is JobStatus.PROCESSING
        assert row.pause_reason is not None
        assert row.pause_reason.startswith("Gemini's daily quota is used up: ")
        assert "; it resets at " in row.pause_reason
        seen = await darkroom.client.progress(job_id)
        assert (seen.source, seen.progress.paused) == ("workflow", True)
        assert seen.progress.pause_reason == row.pause_reason
        assert (await darkroom.starter("status", str(job_id))).out.count("Gemini's daily quota is used up") == 1

        assert await darkroom.worker.stop() == 0
        await darkroom.worker.start(settings_for(gemini, runware, IMAGE_PROVIDER="gemini"))

        async def nothing_is_called_for() -> bool:
            told = await darkroom.client.progress(job_id)
            return told.source == "workflow" and told.progress.paused

        await until(nothing_is_called_for, "the pause, told by the new worker")
        assert gemini.count == 2
        answer = await darkroom.starter("resume", str(job_id), "--json")
        assert answer.status == 0, answer.err
        receipt = await darkroom.receipt(job_id)
        assert made_by(receipt) == {"gemini": (4, 5)}
        assert (await darkroom.row(job_id)).pause_reason is None
        assert runware.count == 0
        await darkroom.check_invariants()
