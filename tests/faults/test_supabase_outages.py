"""Parts of a Supabase project go away in the middle of a job: it ends exact, and no picture is paid for twice."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt
from tests.support.records.reading import Image
from tests.support.stacks.adapters import on_supabase
from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack
from tests.support.stacks.worker_process import GATED
from tests.support.supabase.local import LocalSupabase
from tests.support.supabase.storage_faults import Faults
from tests.support.until import until

OUTAGE = 20.0
"""Seconds."""

CALLS = {"GATED_SECONDS": 0.5, "GATED_BACK_OFF": 1, "GATED_MISS": 9, "STAGE_CONCURRENCY": 4, "TOP_UP_DELAY": 0.5}
"""Every odd ordinal fails once in passing, and every ninth misses: that has to be written down too."""

Record = Callable[[str, object], None]


@asynccontextmanager
async def away(stop: Callable[[], object], start: Callable[[], object], seconds: float = 0) -> AsyncIterator[None]:
    """Something is away while the block lasts, and for at least so many seconds: this is what is tested."""
    began = time.monotonic()
    await asyncio.to_thread(stop)
    yield
    await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
    await asyncio.to_thread(start)


@pytest.mark.slow
@on_supabase
async def test_a_job_is_exact_when_postgrest_dies_and_is_away_for_20_s(
    darkroom: ProcessStack, supabase: LocalSupabase, record_property: Record
) -> None:
    project = supabase.project
    await darkroom.worker.start(CALLS, program=GATED)
    job_id = await darkroom.order(8, 8, 8)
    await _until_delivered(darkroom, job_id, 6)
    async with away(project.kill_postgrest, project.start_postgrest, OUTAGE):
        await _check_commands(darkroom, job_id)
    await _check_goes_on(darkroom, job_id, record_property)
    await _check_exact(darkroom, job_id, 24)
    assert darkroom.worker.events("records unavailable")


@pytest.mark.slow
@on_supabase
async def test_jobs_are_exact_when_postgresql_dies_and_is_away_for_20_s(
    darkroom: ProcessStack, supabase: LocalSupabase, record_property: Record
) -> None:
    """One goes on afterwards; the other is cancelled while nobody can write that down."""
    project, records = supabase.project, darkroom.records
    records.watch_flags()
    await darkroom.worker.start(CALLS, program=GATED)
    job_id = await darkroom.order(8, 8, 8)
    other = await darkroom.order(stages=[{"prompt": "to be cancelled", "quantity": 20}])
    await _until_delivered(darkroom, job_id, 6)
    await _until_delivered(darkroom, other, 2)
    # Not `start_postgres`, which waits for PostgREST: how soon it is back is for the worker to find out.
    async with away(project.kill_postgres, project.postgres.start, OUTAGE):
        await _check_commands(darkroom, job_id)
        await darkroom.temporal_cli("cancel", job_id=other)
    await _check_goes_on(darkroom, job_id, record_property)
    cancelled = await darkroom.receipt(other)
    assert cancelled.status is JobStatus.CANCELLED
    assert len(records.attempts(other)) == records.attempts_at(other, "cancel"), "a call began after the flag"
    given = Counter(_images(darkroom, "call ended", "to be cancelled"))
    assert given == Counter(records.delivered(other)), "what was paid for is not delivered"
    assert cancelled.delivered < 20
    assert cancelled.total.charged == cancelled.delivered * PRICE
    await _check_exact(darkroom, job_id, 24, others_paid=cancelled.total.charged)


@on_supabase
async def test_a_job_that_opens_while_the_records_are_away_opens_when_they_are_back(
    darkroom: ProcessStack, supabase: LocalSupabase
) -> None:
    job_id = await darkroom.order(6)

    async def has_said_so() -> bool:
        return bool(darkroom.worker.events("records unavailable"))

    async with away(supabase.project.stop_postgrest, supabase.project.start_postgrest):
        await darkroom.worker.start({"GATED_SECONDS": 0.2}, program=GATED)
        await until(has_said_so, "a line about the records")
    await _check_exact(darkroom, job_id, 6)


@on_supabase
async def test_a_job_is_closed_once_when_postgrest_dies_in_the_middle_of_it(
    darkroom: ProcessStack, supabase: LocalSupabase
) -> None:
    """Somebody holds the row of the run, so that closing waits where it is killed."""
    project = supabase.project
    await darkroom.worker.start({"GATED_SECONDS": 0.5}, program=GATED)
    job_id = await darkroom.order(75)  # some are still to come when the row is held
    await _until_delivered(darkroom, job_id, 1)
    with project.connect() as holding, project.connect() as watching:

        async def closing_waits() -> bool:
            query = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like %s"
            return bool(watching.execute(query, ("%darkroom_end_run%",)).fetchall())

        with holding.transaction():
            assert holding.execute("select 1 from quel_job_runs where job_id = %s for update", (job_id,)).fetchall()
            await until(closing_waits, "the job to be closed", 40)
            await asyncio.to_thread(project.kill_postgrest)
    await asyncio.to_thread(project.start_postgrest)
    await _check_exact(darkroom, job_id, 75)


@pytest.mark.slow
@on_supabase
async def test_a_job_is_exact_when_every_third_call_to_the_storage_is_answered_500(
    darkroom: ProcessStack, supabase: LocalSupabase
) -> None:
    """At the pace of real retries the last of these pictures would take a minute to get its calls through."""
    supabase.storage.faults = Faults(every=3)
    await darkroom.worker.start({**CALLS, "GATED_RETRY": 0.3}, program=GATED)
    job_id = await darkroom.order(12, 12, 12)
    receipt = await asyncio.wait_for(darkroom.handle(job_id).result(), 60)
    uploads = supabase.storage.calls["upload"]
    supabase.storage.faults = Faults()
    assert uploads > 2 * 36, "nothing had to be asked for again"
    assert await _check_exact(darkroom, job_id, 36) == receipt
    assert darkroom.worker.events("storage unavailable")


@pytest.mark.slow
@on_supabase
async def test_a_job_is_exact_when_the_storage_times_out_after_having_stored(
    darkroom: ProcessStack, supabase: LocalSupabase
) -> None:
    """Whoever stages, publishes or removes waits 10 s for an answer; by then it is done."""
    await darkroom.worker.start(CALLS, program=GATED)
    job_id = await darkroom.order(6, 6, 6)
    await _until_delivered(darkroom, job_id, 2)
    supabase.storage.faults = Faults(stalls=8, operations=frozenset({"upload", "remove"}))
    await _check_exact(darkroom, job_id, 18)


@pytest.mark.slow
@on_supabase
async def test_a_job_is_exact_when_everything_fails_in_turn(
    darkroom: ProcessStack, supabase: LocalSupabase, record_property: Record
) -> None:
    chance = random.Random(3)
    settings = {**CALLS, "GATED_RETRY": 0.5}
    await darkroom.worker.start(settings, program=GATED)
    job_id = await darkroom.order(16, 16, 16)
    project, repeatable = supabase.project, set[Image]()

    async def postgrest_dies() -> None:
        async with away(project.kill_postgrest, project.start_postgrest, chance.random()):
            pass

    async def postgresql_dies() -> None:
        async with away(project.kill_postgres, project.postgres.start, chance.random()):
            pass

    async def postgresql_stops() -> None:
        async with away(project.stop_postgres, project.postgres.start, chance.random()):
            pass

    async def storage_goes_away() -> None:
        supabase.storage.faults = Faults(down=True)
        before = supabase.storage.calls.total()

        async def in_vain() -> bool:
            return supabase.storage.calls.total() > before + 5

        await until(in_vain, "calls of a storage that is down")

    async def worker_dies() -> None:
        await darkroom.worker.kill()
        repeatable.update(await _not_staged(darkroom, supabase, job_id))
        await darkroom.worker.start(settings, program=GATED)

    troubles: list[Callable[[], Awaitable[None]]] = [
        *(postgrest_dies, postgresql_dies, postgresql_stops, storage_goes_away, postgrest_dies, worker_dies)
    ]
    chance.shuffle(troubles)
    for trouble in troubles:
        supabase.storage.faults = Faults(every=chance.choice([3, 4, 7]), stalls=chance.choice([0, 0, 1]))
        before = len(darkroom.records.delivered(job_id))
        await _until_delivered(darkroom, job_id, before + chance.randrange(2, 5))
        await trouble()
    receipt = await asyncio.wait_for(darkroom.handle(job_id).result(), 60)
    supabase.storage.faults = Faults()
    assert await _check_exact(darkroom, job_id, 48, repeatable=repeatable) == receipt
    figures = f"{[trouble.__name__ for trouble in troubles]}: {receipt.total}"
    print(figures)  # noqa: T201
    record_property("mix", figures)


async def _not_staged(darkroom: ProcessStack, supabase: LocalSupabase, job_id: UUID) -> set[Image]:
    """What a dead worker had under way and has left no bytes of: it has to be asked for again."""
    trouble, supabase.storage.faults = supabase.storage.faults, Faults()
    staged = await darkroom.parts.storage.keys(f"staging/{job_id}/")
    supabase.storage.faults = trouble
    safe = {key.rpartition("/")[2] for key in staged}
    return {(stage, n) for stage, n in darkroom.records.unfinished(job_id) if f"{stage}-{n}" not in safe}


async def _check_commands(darkroom: ProcessStack, job_id: UUID) -> None:
    """While the records are away every command says so in one line, and does not hang."""
    order = darkroom.home / "order.json"
    order.write_text(json.dumps({"userId": str(darkroom.user), "stages": [{"prompt": "more", "quantity": 1}]}), "utf-8")
    job = str(job_id)
    for command in (["submit", str(order)], ["list"], ["status", job], ["cancel", job]):
        ended = await darkroom.starter(*command)
        assert ended.status == 5, ended
        assert ended.out == ""
        [line] = ended.err.splitlines()
        assert line.startswith(f"error: records {darkroom.environment['SUPABASE_URL']}: "), line


async def _until_delivered(darkroom: ProcessStack, job_id: UUID, number: int, seconds: float = 30) -> float:
    async def so_many() -> bool:
        return len(darkroom.records.delivered(job_id)) >= number

    return await until(so_many, f"{number} delivered", seconds)


async def _check_goes_on(darkroom: ProcessStack, job_id: UUID, record_property: Record) -> None:
    before = len(darkroom.records.delivered(job_id))
    assert before < (await darkroom.row(job_id)).total_images
    back = await _until_delivered(darkroom, job_id, before + 1)
    figures = f"{before} delivered before, the next one {back:.1f} s after the outage"
    print(figures)  # noqa: T201
    record_property("outage", figures)


async def _check_exact(
    darkroom: ProcessStack, job_id: UUID, ordered: int, *, repeatable: set[Image] | None = None, others_paid: int = 0
) -> Receipt:
    """The receipt of a job that delivered everything, after a look at everything that could be wrong with it.

    Args:
        darkroom: where.
        job_id: of an order with the prompts of `ProcessStack.order`.
        ordered: how many.
        repeatable: pictures that might be asked for again, because a worker died with them.
        others_paid: what other jobs cost.
    """
    # Not `ProcessStack.receipt`, which asks the records: they may be on their way back.
    receipt = await asyncio.wait_for(darkroom.handle(job_id).result(), 60)
    assert receipt.status is JobStatus.COMPLETED
    assert receipt.delivered == ordered
    assert receipt.missing == ()
    assert receipt.total.charged == ordered * PRICE
    assert receipt.total.released == 0
    assert await darkroom.balance() == OPENING_BALANCE - ordered * PRICE - others_paid
    row = await darkroom.row(job_id)
    assert row.status is JobStatus.COMPLETED
    assert (row.completed_images, row.failed_images) == (ordered, 0)
    assert len(set(row.generated_attach_ids)) == ordered
    _check_calls(darkroom, job_id, receipt, repeatable or set())
    await darkroom.check_invariants()
    return receipt


def _check_calls(darkroom: ProcessStack, job_id: UUID, receipt: Receipt, repeatable: set[Image]) -> None:
    """Every call has its row; a picture that the provider gave was asked for once."""
    attempts = darkroom.records.attempts(job_id)
    delivered = darkroom.records.delivered(job_id)
    began = Counter(_images(darkroom, "call began", "stage "))
    given = Counter(_images(darkroom, "call ended", "stage "))
    assert set(given) == delivered, "a picture was made for nothing"
    assert {image for image, times in given.items() if times > 1} <= repeatable, "a picture was paid for twice"
    assert not began - Counter(attempt.image for attempt in attempts), "a call without its row"
    # A row whose call never began: its writer was not told that it is written.
    assert len(attempts) - began.total() <= receipt.total.unknown_calls
    assert len(attempts) == receipt.total.provider_calls
    assert len(darkroom.records.outcomes(job_id, None)) == receipt.total.unknown_calls
    assert Counter(darkroom.records.outcomes(job_id, "generated")) == Counter(delivered)


def _images(darkroom: ProcessStack, event: str, prompt: str) -> list[Image]:
    lines = darkroom.worker.all_events(event)
    return [(line["stage"], line["ordinal"]) for line in lines if line["prompt"].startswith(prompt)]
