"""Moving over from the worker of before, on the same tables (docs/moving.md): by its settings, rows and cancels."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt
from tests.support.fakes.scripted import tiny_picture
from tests.support.stacks.adapters import on_supabase, over_both_adapters
from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack
from tests.support.stacks.worker_process import GATED
from tests.support.supabase.local import LocalSupabase
from tests.support.until import until

PICKED_UP_WITHIN = 5.0
"""Seconds: looks every second, and time for a loaded machine."""
NOTICED_WITHIN = 8.0
"""Seconds: a look every five, and time for a loaded machine."""
STAGE = {"prompt": "a red coat", "quantity": 2}


class BackEnd:
    """The front end's server, which has the service role's key, and the old worker, which has it as well."""

    def __init__(self, supabase: LocalSupabase) -> None:
        self._url = f"{supabase.project.url}/rest/v1/quel_production_jobs"
        key = supabase.environment["SUPABASE_SERVICE_ROLE_KEY"]
        self._headers = {"apikey": key, "Authorization": f"Bearer {key}", "Prefer": "return=representation"}

    def insert(self, member: UUID, job_type: str, document: Mapping[str, Any]) -> UUID:
        """A pending row."""
        row = {"quel_member_id": str(member), "job_type": job_type, "job_status": "pending", "job_input_data": document}
        answer = httpx.post(self._url, json=row, headers=self._headers, timeout=10)
        return UUID(answer.raise_for_status().json()[0]["job_id"])

    def set_status(self, job_id: UUID, status: str) -> None:
        """Whatever the row says."""
        address = f"{self._url}?job_id=eq.{job_id}"
        httpx.patch(address, json={"job_status": status}, headers=self._headers, timeout=10).raise_for_status()

    def status(self, job_id: UUID) -> str:
        """What the row says."""
        [row] = httpx.get(f"{self._url}?job_id=eq.{job_id}", headers=self._headers, timeout=10).json()
        return str(row["job_status"])


@on_supabase
@pytest.mark.slow
async def test_one_type_moves_then_all_and_back_again(darkroom: ProcessStack, supabase: LocalSupabase) -> None:
    back_end = BackEnd(supabase)
    member = uuid4()
    await darkroom.parts.records.ensure_member(member, 1_000)
    old_names = {"SUPABASE_SERVICE_KEY": supabase.environment["SUPABASE_SERVICE_ROLE_KEY"]}
    settings = {
        **old_names,
        "SUPABASE_SERVICE_ROLE_KEY": "",
        "IMAGE_PER_PRICE": 30,
        "CANCELLED_STATUS": "user_cancelled",
        "OFFLINE_LATENCY": 0.1,
        "PICK_UP_EVERY": 1,
    }
    uploads = darkroom.parts.uploads
    reference = await uploads.store(await uploads.read("coat.png", tiny_picture()), member)
    simple = {**STAGE, "uploadedAttachIds": [{"attachId": reference, "type": "top"}]}
    # One type: the other one stays with the old worker, which begins it in its own way.
    await darkroom.worker.start({**settings, "PICK_UP_TYPES": "pipeline_stage"})
    theirs = back_end.insert(member, "simple_general", simple)
    waits = back_end.insert(member, "simple_general", simple)
    ours = back_end.insert(member, "pipeline_stage", {"stages": [STAGE]})
    await darkroom.until_row(ours, lambda row: row.status.ended, "the moved job", PICKED_UP_WITHIN + 5)
    assert (back_end.status(ours), back_end.status(theirs)) == ("completed", "pending")
    back_end.set_status(theirs, "processing")
    assert await darkroom.worker.stop() == 0
    # All: what the old worker has begun is left to it.
    await darkroom.worker.start(settings)
    await darkroom.until_row(waits, lambda row: row.status.ended, "the job of the other type", PICKED_UP_WITHIN + 5)
    assert (back_end.status(waits), back_end.status(theirs)) == ("completed", "processing")
    assert (await darkroom.row(theirs)).run_id is None
    assert await darkroom.worker.stop() == 0
    # Back again: nothing is taken any more; what runs is finished, or cancelled as the back end does.
    slow = back_end.insert(member, "pipeline_stage", {"stages": [{**STAGE, "quantity": 6}]})
    await darkroom.worker.start({**settings, "OFFLINE_LATENCY": 3, "STAGE_CONCURRENCY": 2})
    await until(lambda: _two_calls(darkroom, slow), "two calls")
    assert await darkroom.worker.stop() == 0
    await darkroom.worker.start({**settings, "OFFLINE_LATENCY": 3, "STAGE_CONCURRENCY": 2, "PICK_UP_PENDING": "false"})
    left = back_end.insert(member, "pipeline_stage", {"stages": [STAGE]})
    back_end.set_status(slow, "cancelled")
    receipt: Receipt = await darkroom.handle(slow).result()
    assert receipt.status is JobStatus.CANCELLED
    assert (back_end.status(slow), back_end.status(left)) == ("cancelled", "pending")
    account = await darkroom.parts.records.account(member)
    assert account is not None
    assert (account.balance, account.held) == (1_000 - (4 + receipt.delivered) * 30, 0)
    assert await darkroom.parts.records.audit() == []


async def _two_calls(darkroom: ProcessStack, job_id: UUID) -> bool:
    return len(darkroom.records.attempts(job_id)) >= 2


@on_supabase
async def test_a_cancelled_row_is_noticed_while_all_calls_are_in_progress(
    darkroom: ProcessStack, supabase: LocalSupabase
) -> None:
    await darkroom.worker.start({"OFFLINE_LATENCY": 12, "STAGE_CONCURRENCY": 3})
    job_id = await darkroom.order(9)
    await until(lambda: _two_calls(darkroom, job_id), "the first calls")
    BackEnd(supabase).set_status(job_id, "user_cancelled")

    async def noticed() -> bool:
        return (await darkroom.client.progress(job_id)).progress.cancel_requested

    await until(noticed, "the cancel to be noticed", NOTICED_WITHIN)
    receipt = await darkroom.receipt(job_id)
    assert (receipt.status, receipt.delivered) == (JobStatus.CANCELLED, 3)
    assert len(darkroom.records.attempts(job_id)) == 3
    assert BackEnd(supabase).status(job_id) == "user_cancelled"
    await darkroom.check_invariants()


@over_both_adapters
@pytest.mark.slow
async def test_a_row_cancelled_while_its_worker_is_away_keeps_what_was_staged(darkroom: ProcessStack) -> None:
    """Ordinals 0 and 1 are delivered, 2 and 3 asked for when the worker dies, and nothing is begun after that."""
    records = darkroom.records
    darkroom.open_gate(2)
    await darkroom.worker.start({"GATED_FILE": "gate", "STAGE_CONCURRENCY": 2}, program=GATED)
    job_id = await darkroom.order(6)

    async def in_the_middle() -> bool:
        return len(records.delivered(job_id)) == 2 and len(records.attempts(job_id)) == 4

    await until(in_the_middle, "two pictures and two calls")
    await darkroom.worker.kill()
    records.plant(f"update quel_production_jobs set job_status = 'cancelled' where job_id = '{job_id}'")
    await darkroom.worker.start({"OFFLINE_LATENCY": 0})
    await darkroom.client.start_waiting_jobs()
    receipt = await darkroom.receipt(job_id)
    assert (receipt.status, receipt.delivered, receipt.total.unknown_calls) == (JobStatus.CANCELLED, 2, 2)
    assert len(records.attempts(job_id)) == 4
    assert (receipt.total.charged, receipt.total.released) == (2 * PRICE, 4 * PRICE)
    assert await darkroom.balance() == OPENING_BALANCE - 2 * PRICE
    await darkroom.check_invariants()
