"""The job's row is right at every moment a client may read it (spec §2)."""

import asyncio
from collections.abc import Callable

from tests.support.stacks.process import ProcessStack

READS = 500
LONGEST_TRAIL = 1.5
"""Seconds: 1 by the spec, and what a loaded machine takes to schedule."""


async def test_the_row_agrees_with_itself_in_500_reads(
    darkroom: ProcessStack, record_property: Callable[[str, object], None]
) -> None:
    await darkroom.worker.start({"OFFLINE_LATENCY": "0.5-2", "OFFLINE_MISS_RATE": 0.05, "STAGE_CONCURRENCY": 4})
    job_id = await darkroom.order(20, 20, 20)
    known: set[int] = set()
    reads = while_it_ran = 0
    trail = 0.0
    ended = False
    while not ended or reads < READS:
        row = await darkroom.row(job_id)
        snapshot = darkroom.records.snapshot(job_id)
        for completed, ids in (
            (row.completed_images, list(row.generated_attach_ids)),
            (snapshot.completed, snapshot.ids),
        ):
            assert completed == len(ids) == len(set(ids))
            assert known <= set(ids), "the row lost an image"
            known = set(ids)
        trail = max(trail, snapshot.trail)
        reads += 1
        ended = row.status.ended
        while_it_ran += row.status == "processing"
        await asyncio.sleep(0.01)
    receipt = await darkroom.receipt(job_id)
    figures = f"{while_it_ran} of {reads} reads while the job ran; the row trailed by at most {trail:.2f} s"
    print(figures)  # noqa: T201
    record_property("row", figures)
    assert receipt.delivered == len(known) == 60
    assert while_it_ran >= READS, figures
    assert trail <= LONGEST_TRAIL, figures
    await darkroom.check_invariants()
