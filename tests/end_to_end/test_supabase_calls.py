"""What a job costs in calls: what is ready together shares a call, and nothing else grows with the pictures."""

import asyncio
from collections.abc import Callable

from tests.support.stacks.adapters import on_supabase
from tests.support.stacks.process import ProcessStack
from tests.support.supabase.local import LocalSupabase

PICTURES = 24
FOR_PICTURES = {
    "begin": ("darkroom_begin_attempts",),
    "attach": ("darkroom_attach", "darkroom_attach_group"),
    "settle": ("darkroom_settle", "darkroom_settle_group"),
}
MOST_OTHERS = 30
"""Opening, three stages, closing and cleaning; the row is caught up at most once a second."""


@on_supabase
async def test_a_picture_costs_a_share_of_three_calls_of_the_records_and_at_most_four_requests_for_its_files(
    darkroom: ProcessStack, supabase: LocalSupabase, record_property: Callable[[str, object], None]
) -> None:
    await darkroom.worker.start({"OFFLINE_LATENCY": 0.5, "STAGE_CONCURRENCY": 8, "PICK_UP_EVERY": 3600})
    first = await darkroom.order(1)  # makes the bucket
    await asyncio.wait_for(darkroom.handle(first).result(), 20)
    job_id = await darkroom.order(8, 8, 8)
    supabase.project.reset_calls()  # the order's own calls are the test's
    supabase.storage.calls.clear()
    # The receipt comes from Temporal, so that the test calls nothing that is counted.
    receipt = await asyncio.wait_for(darkroom.handle(job_id).result(), 60)
    records = {name.removeprefix("POST rpc/"): number for name, number in supabase.project.calls.items()}
    storage = dict(supabase.storage.calls)

    assert receipt.delivered == receipt.total.provider_calls == PICTURES
    pictures = {step: sum(records.pop(name, 0) for name in names) for step, names in FOR_PICTURES.items()}
    objects = {name: number for name, number in records.items() if "object/" in name or "bucket" in name}
    others = {name: number for name, number in records.items() if name not in objects}
    figures = f"for each picture {pictures}; others {others}; storage {storage}"
    print(figures)  # noqa: T201
    record_property("calls", figures)
    assert sum(pictures.values()) <= 2 * PICTURES, figures
    assert 0 < max(pictures.values()) <= PICTURES, figures
    assert others["darkroom_stage"] == 3, "pictures that start together read their stage once"
    assert sum(others.values()) <= MOST_OTHERS, figures
    assert storage.pop("list", 0) == 0, figures
    assert storage.pop("remove") <= PICTURES, figures
    # Staged, stored, and its thumbnail.
    assert storage == {"upload": 3 * PICTURES, "download": PICTURES}, figures
