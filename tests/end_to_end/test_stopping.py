"""A worker that is told to stop, and a workflow that is terminated."""

import time
from collections.abc import Callable

import pytest

from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack
from tests.support.until import until

OFFLINE = {"OFFLINE_LATENCY": "1-2", "STAGE_CONCURRENCY": 8}


async def test_sigterm_finishes_what_is_under_way(
    darkroom: ProcessStack, record_property: Callable[[str, object], None]
) -> None:
    records = darkroom.records
    await darkroom.worker.start(OFFLINE)
    job_id = await darkroom.order(20, 20)

    async def in_the_middle() -> bool:
        return len(records.delivered(job_id)) >= 8 and len(records.outcomes(job_id, None)) >= 6

    await until(in_the_middle, "the middle of the job")
    started = time.monotonic()
    assert await darkroom.worker.stop() == 0
    figures = f"left after {time.monotonic() - started:.1f} s, {len(records.delivered(job_id))} delivered by then"
    print(figures)  # noqa: T201
    record_property("sigterm", figures)
    assert darkroom.worker.events("worker stopped")
    called = records.attempts(job_id)
    cut_off = records.outcomes(job_id, None)
    staged = [image for image in cut_off if await darkroom.is_staged(job_id, *image)]
    assert cut_off == staged, "a call was not heard to its end"
    assert cut_off == [], "what was made is not recorded"

    started = time.monotonic()
    await darkroom.worker.start(OFFLINE)
    receipt = await darkroom.receipt(job_id)
    record_property("restart", f"completed {time.monotonic() - started:.1f} s after the restart")
    assert receipt.delivered == 40
    assert receipt.total.provider_calls == 40, "a call was repeated"
    assert receipt.total.unknown_calls == 0
    assert records.attempts(job_id)[: len(called)][-1].call_id == called[-1].call_id
    assert await darkroom.balance() == OPENING_BALANCE - 40 * PRICE
    await darkroom.check_invariants()


@pytest.mark.slow
async def test_a_terminated_job_is_restarted_and_exact(darkroom: ProcessStack) -> None:
    records = darkroom.records
    await darkroom.worker.start(OFFLINE)
    job_id = await darkroom.order(15, 15)

    async def in_the_middle() -> bool:
        return len(records.delivered(job_id)) >= 8 and len(records.outcomes(job_id, None)) >= 6

    await until(in_the_middle, "the middle of the job")
    await darkroom.temporal_cli("terminate", "--reason", "by hand", job_id=job_id)
    under_way = len(records.outcomes(job_id, None))
    assert (await darkroom.row(job_id)).status == "processing"
    assert (await darkroom.client.restart(job_id)).success
    receipt = await darkroom.receipt(job_id)
    assert receipt.status == "completed"
    assert receipt.delivered == 30
    assert records.delivered(job_id) == {(stage, ordinal) for stage in range(2) for ordinal in range(15)}
    assert receipt.total.charged == 30 * PRICE
    assert receipt.total.unknown_calls <= under_way
    assert receipt.total.provider_calls == 30 + receipt.total.unknown_calls
    assert receipt.last_run.delivered < 30
    assert await darkroom.balance() == OPENING_BALANCE - 30 * PRICE
    await darkroom.check_invariants()
