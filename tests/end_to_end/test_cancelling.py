"""A cancel begins nothing more, waits for no back-off, and keeps what is paid for (spec §2)."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

import pytest

from darkroom.domain.names import batch_workflow_id
from darkroom.domain.progress import JobStatus
from tests.support.stacks.adapters import EMBEDDED, SUPABASE
from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack
from tests.support.stacks.worker_process import GATED
from tests.support.until import until

SECONDS_A_CALL = 4
BACK_OFF = 30
ENDED_WITHIN = BACK_OFF / 2
"""Seconds: a call under way takes 4; who waited for what is in a back-off would wait for 30."""

Record = Callable[[str, object], None]


async def _by_the_client(darkroom: ProcessStack, job_id: UUID) -> None:
    answer = await darkroom.client.cancel(job_id, "changed my mind")
    assert answer.success
    assert answer.status is JobStatus.PROCESSING


async def _by_temporal_cancel(darkroom: ProcessStack, job_id: UUID) -> None:
    await darkroom.temporal_cli("cancel", job_id=job_id)


async def _by_temporal_signal(darkroom: ProcessStack, job_id: UUID) -> None:
    await darkroom.temporal_cli("signal", "--name", "cancel", job_id=job_id)


@pytest.mark.parametrize(
    ("darkroom", "cancel"),
    [
        (EMBEDDED, _by_the_client),
        pytest.param(EMBEDDED, _by_temporal_cancel, marks=pytest.mark.slow),
        pytest.param(EMBEDDED, _by_temporal_signal, marks=pytest.mark.slow),
        pytest.param(SUPABASE, _by_the_client, marks=pytest.mark.slow),
        pytest.param(SUPABASE, _by_temporal_cancel, marks=pytest.mark.slow),
    ],
    indirect=["darkroom"],
)
async def test_a_cancel_keeps_what_is_under_way_and_drops_what_waits(
    darkroom: ProcessStack, cancel: Callable[[ProcessStack, UUID], Awaitable[None]], record_property: Record
) -> None:
    records = darkroom.records
    records.watch_flags()
    settings = {"GATED_SECONDS": SECONDS_A_CALL, "GATED_BACK_OFF": BACK_OFF, "STAGE_CONCURRENCY": 16}
    await darkroom.worker.start(settings, program=GATED)
    job_id = await darkroom.order(40)

    async def in_the_middle() -> bool:
        # The first calls are delivered, the second ones have just begun, the rest of the lanes is in a back-off.
        under_way = set(records.outcomes(job_id, None))
        return (
            len(records.delivered(job_id)) >= 8 and len(under_way) >= 4 and len(records.outcomes(job_id, "fault")) >= 8
        )

    await until(in_the_middle, "calls under way, and others in a back-off")
    delivered_before = len(records.delivered(job_id))
    started = time.monotonic()
    await cancel(darkroom, job_id)
    signalled = time.monotonic() - started
    receipt = await darkroom.receipt(job_id)
    ended = time.monotonic() - started

    called = records.attempts_at(job_id, "cancel")
    faults, answered = records.outcomes(job_id, "fault"), records.outcomes(job_id, "generated")
    attempts = records.attempts(job_id)
    assert receipt.status is JobStatus.CANCELLED
    assert len(attempts) == called, "a call began after the flag"
    assert len(faults) + len(answered) == called, "a call that was under way was dropped"
    assert records.delivered(job_id) == set(answered)
    assert len(answered) > delivered_before
    assert receipt.delivered == len(answered)
    assert receipt.total.charged == len(answered) * PRICE
    assert receipt.total.released == (40 - len(answered)) * PRICE
    assert receipt.total.unknown_calls == 0
    assert len(darkroom.worker.events("call began")) == called
    assert len(darkroom.worker.events("call ended")) == len(answered)
    assert await darkroom.balance() == OPENING_BALANCE - len(answered) * PRICE
    await darkroom.check_invariants()
    figures = f"signal took {signalled:.1f} s, ended after {ended:.1f} s, {len(answered) - delivered_before} under way"
    print(figures)  # noqa: T201
    record_property("cancel", figures)
    assert ended <= ENDED_WITHIN, figures

    # Nothing after it: the worker, told to stop, has nothing left to do.
    assert await darkroom.worker.stop() == 0
    assert len(records.attempts(job_id)) == called
    assert (await darkroom.row(job_id)).completed_images == len(answered)


@pytest.mark.parametrize(
    "killed",
    [
        pytest.param("before the cancel", marks=pytest.mark.slow),
        pytest.param("when the flag is written", marks=pytest.mark.slow),
        "when the children are told",
    ],
)
async def test_a_worker_that_dies_during_the_drain_leaves_what_it_staged(
    darkroom: ProcessStack, killed: str, record_property: Record
) -> None:
    """Ordinals 0–3 are delivered, 4–7 staged but not reported, 8–11 still asked for when the worker dies."""
    records = darkroom.records
    records.watch_flags()
    settings = {"GATED_FILE": "gate", "GATED_HANGS": 4, "STAGE_CONCURRENCY": 12}
    darkroom.open_gate(4)
    await darkroom.worker.start(settings, program=GATED)
    job_id = await darkroom.order(12)

    async def all_begun() -> bool:
        return len(records.delivered(job_id)) == 4 and len(records.attempts(job_id)) == 12

    await until(all_begun, "twelve calls")
    for ordinal in range(4, 8):
        darkroom.open_gate(ordinal + 1)
        await until(partial(darkroom.is_staged, job_id, 0, ordinal), "staged bytes")
    if killed == "before the cancel":
        await darkroom.worker.kill()
    assert (await darkroom.client.cancel(job_id)).success
    if killed == "when the flag is written":
        await darkroom.until_row(job_id, lambda row: row.cancel_requested, "the flag on the row", 5)
    if killed == "when the children are told":
        await until(partial(_children_are_told, darkroom, job_id), "the calls to be cancelled", 5)
    await darkroom.worker.kill()
    started = time.monotonic()
    await darkroom.worker.start({})
    receipt = await darkroom.receipt(job_id)
    record_property("drain", f"ended {time.monotonic() - started:.1f} s after the restart")

    assert receipt.status is JobStatus.CANCELLED
    calls = len(records.attempts(job_id))
    assert calls == records.attempts_at(job_id, "cancel"), "a call began after the flag"
    # Without a worker nobody can write the flag: what the dead one held may be asked for again before it is.
    again = calls - 12
    assert again <= (4 if killed == "before the cancel" else 0)
    delivered = {ordinal for _, ordinal in records.delivered(job_id)}
    assert delivered >= set(range(8)), "what was staged is paid for"
    assert len(delivered) == receipt.delivered == 8 + again
    assert {ordinal for _, ordinal in records.outcomes(job_id, None)} == {8, 9, 10, 11}
    assert receipt.total.unknown_calls == 4
    assert receipt.total.misses == 0
    assert await darkroom.balance() == OPENING_BALANCE - receipt.delivered * PRICE
    await darkroom.check_invariants()


async def _children_are_told(darkroom: ProcessStack, job_id: UUID) -> bool:
    history = await darkroom.temporal.get_workflow_handle(batch_workflow_id(job_id, 0, 0, 0)).fetch_history()
    return any(event.HasField("activity_task_cancel_requested_event_attributes") for event in history.events)
