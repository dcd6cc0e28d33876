"""What a job costs in calls: three transactions for each picture, and nothing else that grows with their number."""

import asyncio
from collections.abc import Callable

from tests.support.stacks.adapters import on_supabase
from tests.support.stacks.process import ProcessStack
from tests.support.supabase.local import LocalSupabase

PICTURES = 60
FOR_EACH_PICTURE = ("darkroom_begin_attempt", "darkroom_attach", "darkroom_settle")
MOST_OTHERS = 30
"""Opening, three stages, closing and cleaning; the row is caught up at most once a second."""


@on_supabase
async def test_a_picture_costs_three_calls_of_the_records_and_four_of_the_storage(
    darkroom: ProcessStack, supabase: LocalSupabase, record_property: Callable[[str, object], None]
) -> None:
    await darkroom.worker.start({"OFFLINE_LATENCY": 0.5, "STAGE_CONCURRENCY": 8, "PICK_UP_EVERY": 3600})
    first = await darkroom.order(1)  # makes the bucket
    await asyncio.wait_for(darkroom.handle(first).result(), 20)
    job_id = await darkroom.order(20, 20, 20)
    supabase.project.reset_calls()  # the order's own calls are the test's
    supabase.storage.calls.clear()
    # The receipt comes from Temporal, so that the test calls nothing that is counted.
    receipt = await asyncio.wait_for(darkroom.handle(job_id).result(), 60)
    records = {name.removeprefix("POST rpc/"): number for name, number in supabase.project.calls.items()}
    storage = dict(supabase.storage.calls)

    assert receipt.delivered == receipt.total.provider_calls == PICTURES
    pictures = {name: records.pop(name) for name in FOR_EACH_PICTURE}
    objects = {name: number for name, number in records.items() if "object/" in name or "bucket" in name}
    others = {name: number for name, number in records.items() if name not in objects}
    figures = f"for each picture {pictures}; others {others}; storage {storage}"
    print(figures)  # noqa: T201
    record_property("calls", figures)
    assert pictures == dict.fromkeys(FOR_EACH_PICTURE, PICTURES), figures
    assert others["darkroom_stage"] == 3, "pictures that start together read their stage once"
    assert sum(others.values()) <= MOST_OTHERS, figures
    assert storage.pop("list") <= 2, figures
    assert storage == {"upload": 2 * PICTURES, "download": PICTURES, "remove": PICTURES}, figures
