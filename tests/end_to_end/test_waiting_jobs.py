"""Orders that a front end inserts as rows are picked up by whichever worker is there: once, and never in vain."""

import asyncio
import json
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import httpx

from darkroom.domain.names import image_prefix, job_workflow_id
from darkroom.proof.invariants import broken
from tests.support.stacks.adapters import on_supabase
from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack
from tests.support.supabase.local import LocalSupabase

SETTINGS = {"PICK_UP_EVERY": 1, "OFFLINE_LATENCY": 0.2}
PICKED_UP_WITHIN = 5.0
"""Seconds: looks every second, and time for a loaded machine."""
STAGE = {"prompt": "a red coat", "quantity": 2}


@on_supabase
async def test_orders_of_a_front_end_are_picked_up_once_by_two_workers(
    darkroom: ProcessStack, supabase: LocalSupabase
) -> None:
    member, somebody_else, theirs = uuid4(), darkroom.user, uuid4()
    await darkroom.parts.records.ensure_member(member, 1_000)
    with supabase.project.connect() as db:
        insert = "insert into quel_production_photo (production_id, quel_member_id) values (%s, %s)"
        db.execute(insert, (theirs, somebody_else))
    await asyncio.gather(darkroom.worker.start(SETTINGS), darkroom.another_worker().start(SETTINGS))

    good = [_insert(supabase, member, {"stages": [STAGE]}) for _ in range(2)]
    good.append(_insert(supabase, member, json.dumps({"stages": [STAGE], "priority": 1})))
    foreign = _insert(supabase, member, {"stages": [STAGE], "userId": str(somebody_else)})
    production = _insert(supabase, member, {"stages": [STAGE], "production_id": str(theirs)})
    silent = _insert(supabase, member, {"stages": [{**STAGE, "prompt": " "}]})
    unreadable = _insert(supabase, member, "two red coats, please")
    darkroom.jobs += [*good, foreign, production, silent, unreadable]

    for job_id in darkroom.jobs:
        await darkroom.until_row(job_id, lambda row: row.status != "pending", "the pick-up", PICKED_UP_WITHIN)
        await darkroom.until_row(job_id, lambda row: row.status.ended, "the end of the job", 10)
    for job_id in good:
        row = await darkroom.row(job_id)
        assert (row.status, row.user_id, row.completed_images) == ("completed", member, 2)
        assert sorted(attempt.image for attempt in darkroom.records.attempts(job_id)) == [(0, 0), (0, 1)]
        files = await darkroom.parts.storage.keys(image_prefix(job_id, member))
        assert len(files) == 2
        assert _seen_by(supabase, member, job_id)["completed_images"] == 2
    for job_id, says in {
        foreign: f"user_id: {somebody_else} is not the user who pays for the job ({member})",
        production: f"production_id: {theirs} belongs to another user",
        silent: "prompt",
        unreadable: "document",
    }.items():
        seen = _seen_by(supabase, member, job_id)
        assert (seen["job_status"], seen["completed_images"]) == ("failed", 0)
        assert says in seen["error_message"], seen
        assert darkroom.records.attempts(job_id) == []

    priorities = [await _priority(darkroom, job_id) for job_id in good]
    assert priorities == [3, 3, 1], "an order's priority holds from its first activity on"
    names = [one.id async for one in darkroom.temporal.list_workflows("WorkflowId STARTS_WITH 'job-'")]
    jobs = Counter(name for name in names if "/" not in name)
    assert jobs == Counter(job_workflow_id(job_id) for job_id in darkroom.jobs), "a job ran more than once"
    paying, other = [await darkroom.parts.records.account(user) for user in (member, somebody_else)]
    assert paying is not None
    assert other is not None
    assert (paying.balance, paying.held) == (1_000 - 6 * PRICE, 0)
    assert (other.balance, other.held) == (OPENING_BALANCE, 0)
    assert await darkroom.parts.records.audit() == []
    assert broken(await darkroom.records.dump()) == []


async def _priority(darkroom: ProcessStack, job_id: UUID) -> int:
    described = await darkroom.handle(job_id).describe()
    return int(described.raw_description.workflow_execution_info.priority.priority_key)


def _insert(supabase: LocalSupabase, member: UUID, document: object) -> UUID:
    """A row as the browser of a signed-in user inserts it."""
    row = {
        "quel_member_id": str(member),
        "job_type": "pipeline_stage",
        "job_status": "pending",
        "job_input_data": document,
    }
    address = f"{supabase.project.url}/rest/v1/quel_production_jobs"
    headers = {**_signed_in(supabase, member), "Prefer": "return=representation"}
    answer = httpx.post(address, json=row, headers=headers, timeout=10)
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()[0]["job_id"])


def _seen_by(supabase: LocalSupabase, member: UUID, job_id: UUID) -> dict[str, Any]:
    """The job's row as its user reads it."""
    address = f"{supabase.project.url}/rest/v1/quel_production_jobs?job_id=eq.{job_id}"
    [row] = httpx.get(address, headers=_signed_in(supabase, member), timeout=10).json()
    found: dict[str, Any] = row
    return found


def _signed_in(supabase: LocalSupabase, member: UUID) -> dict[str, str]:
    project = supabase.project
    return {"apikey": project.anon_key, "Authorization": f"Bearer {project.token(member)}"}
