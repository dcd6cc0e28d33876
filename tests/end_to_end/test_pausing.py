"""A pause holds every provider call that has not begun, wherever it waits (spec §2)."""

import time

from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack
from tests.support.stacks.worker_process import GATED
from tests.support.until import until

BACK_OFF = 4


async def test_no_provider_call_starts_during_a_pause(darkroom: ProcessStack) -> None:
    """Six calls at a time of twelve that are asked for: others are queued, others in a back-off."""
    records = darkroom.records
    records.watch_flags()
    settings = {"GATED_SECONDS": 1, "GATED_BACK_OFF": BACK_OFF, "STAGE_CONCURRENCY": 12, "PROVIDER_CONCURRENCY": 4}
    await darkroom.worker.start(settings, program=GATED)
    job_id = await darkroom.order(30)

    async def in_the_middle() -> bool:
        faults, called = set(records.outcomes(job_id, "fault")), [one.image for one in records.attempts(job_id)]
        in_back_off = [image for image in faults if called.count(image) == 1]
        under_way = records.outcomes(job_id, None)
        return len(records.delivered(job_id)) >= 4 and len(in_back_off) >= 3 and len(under_way) >= 3

    await until(in_the_middle, "calls under way, others queued and in a back-off")
    await darkroom.temporal_cli("signal", "--name", "pause", job_id=job_id)
    await darkroom.until_row(job_id, lambda row: row.paused, "the pause on the row", 5)
    paused_at = time.monotonic()
    called = records.attempts_at(job_id, "pause")

    async def drained() -> bool:
        return records.outcomes(job_id, None) == [] and not records.unfinished(job_id)

    async def every_back_off_would_be_over() -> bool:
        return time.monotonic() - paused_at > BACK_OFF * 1.25 + 1

    await until(drained, "the calls under way to be delivered")
    settled = records.delivered(job_id)
    await until(every_back_off_would_be_over, "the back-offs")
    assert len(records.attempts(job_id)) == called, "a call began during the pause"
    assert len(darkroom.worker.events("call began")) == called
    assert records.delivered(job_id) == settled == set(records.outcomes(job_id, "generated"))
    row = await darkroom.row(job_id)
    assert row.paused
    assert row.status == "processing"
    assert row.completed_images == len(settled)
    seen = await darkroom.client.progress(job_id)
    assert seen.source == "workflow"
    assert seen.progress.paused

    await darkroom.temporal_cli("signal", "--name", "resume", job_id=job_id)
    receipt = await darkroom.receipt(job_id)
    assert records.attempts_at(job_id, "resume") == called, "a call began before the resume"
    assert receipt.delivered == 30
    assert receipt.total.misses == receipt.total.unknown_calls == 0
    assert records.delivered(job_id) == {(0, ordinal) for ordinal in range(30)}, "the same ordinals were taken up"
    assert len(records.attempts(job_id)) == 30 + receipt.total.faults
    assert await darkroom.balance() == OPENING_BALANCE - 30 * PRICE
    await darkroom.check_invariants()
