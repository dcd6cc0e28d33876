"""Cancel, pause, resume and restart over HTTP: at once, twice, together; and the money agrees after each."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from temporalio.client import Client

from darkroom.api.routes.waiting import until_opened_again
from darkroom.domain.names import LOCAL_USER
from tests.support.fakes.scripted import Act
from tests.support.stacks.api import OPENING_BALANCE, ApiStack, is_a_problem, running_api
from tests.support.stacks.workflow import PRICE
from tests.support.until import until

AT_ONCE = 8.0
"""Seconds: a tenth of one, on a machine that has nothing else to do."""


@pytest.fixture
async def slow(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """Two calls at a time, held at the gate."""
    async with running_api(temporal, tmp_path, settings={"stage_concurrency": 2}) as api:
        api.provider.gate.clear()
        yield api


async def steer(api: ApiStack, job_id: UUID, wish: str, method: str = "POST", **options: Any) -> httpx.Response:
    started = monotonic()
    answer = await api.http.request(method, f"/api/jobs/{job_id}/{wish}", **options)
    assert wish == "restart" or monotonic() - started < AT_ONCE
    return answer


async def paid(api: ApiStack, images: int) -> None:
    """The account after so many pictures, and the records agree with themselves."""
    account = await api.parts.records.account(LOCAL_USER)
    assert account is not None
    assert (account.balance, account.held) == (OPENING_BALANCE - images * PRICE, 0)
    assert await api.parts.records.audit() == []


async def cancelled_by(api: ApiStack, job_id: UUID, way: str) -> httpx.Response:
    """The answer to a cancel in one of the ways that front ends use."""
    started = monotonic()
    if way == "named":
        answer = await api.http.post("/api/jobs/cancel", json={"job_id": str(job_id)})
    else:
        answer = await api.http.request(way, f"/api/jobs/{job_id}/cancel")
    assert monotonic() - started < AT_ONCE
    return answer


@pytest.mark.parametrize("way", ["POST", "PATCH", "named"])
async def test_a_cancel_answers_at_once_while_calls_are_under_way_and_twice_changes_nothing(
    slow: ApiStack, way: str
) -> None:
    job_id = await slow.order(4)
    await slow.provider.until_calls(2)
    answer = await cancelled_by(slow, job_id, way)
    assert answer.status_code == 200
    expected = {"success": True, "message": "Job cancelled successfully", "job_id": str(job_id)}
    counts = {"completed_images": 0, "total_images": 4}
    statuses = dict.fromkeys(("status", "current_status", "job_status"), "processing")
    assert answer.json() == {**expected, **counts, **statuses}

    async def known() -> bool:
        return bool((await slow.job(job_id))["cancel_requested"])

    await until(known, "the cancel to be known")
    again = await cancelled_by(slow, job_id, way)
    assert (again.status_code, again.json()["success"]) == (200, False)
    assert (await slow.job(job_id))["actions"] == []
    slow.provider.gate.set()
    job = await slow.ended(job_id)
    assert (job["status"], job["completed_images"], slow.provider.total_calls) == ("cancelled", 2, 2)
    late = await cancelled_by(slow, job_id, way)
    assert late.status_code == 200
    assert late.json() == {
        **expected,
        "success": False,
        "message": "Job is already cancelled",
        **dict.fromkeys(("status", "current_status", "job_status"), "cancelled"),
        "completed_images": 2,
        "total_images": 4,
    }
    await paid(slow, 2)


async def test_a_job_that_has_not_begun_is_cancelled_in_the_records(quiet: ApiStack) -> None:
    job_id = await quiet.order(3)
    answer = await steer(quiet, job_id, "cancel", json={"reason": "changed my mind"})
    assert (answer.json()["success"], answer.json()["status"]) == (True, "cancelled")
    job = await quiet.job(job_id)
    assert (job["status"], job["actions"]) == ("cancelled", ["restart"])
    await paid(quiet, 0)


async def test_a_wish_to_an_ended_job_is_no_error(api: ApiStack) -> None:
    job_id = await api.order(2)
    await api.ended(job_id)
    for wish in ("cancel", "pause", "resume", "cancel", "pause", "resume"):
        answer = await steer(api, job_id, wish)
        assert (answer.status_code, answer.json()["success"], answer.json()["status"]) == (200, False, "completed")
        assert (answer.json()["completed_images"], answer.json()["total_images"]) == (2, 2)
    refused = await steer(api, job_id, "restart")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_possible_now")
    is_a_problem(refused)
    await paid(api, 2)


async def test_a_job_that_is_not_there_is_404(quiet: ApiStack) -> None:
    for wish in ("cancel", "pause", "resume", "restart"):
        answer = await steer(quiet, uuid4(), wish)
        assert answer.status_code == 404
        is_a_problem(answer)


async def test_a_pause_holds_until_it_is_resumed(slow: ApiStack) -> None:
    job_id = await slow.order(4)
    await slow.provider.until_calls(2)
    assert (await steer(slow, job_id, "resume")).json()["success"] is False
    assert (await steer(slow, job_id, "pause", json={"reason": "lunch"})).json()["success"] is True

    async def paused() -> bool:
        job = await slow.job(job_id)
        return bool(job["paused"] and job["pause_reason"] == "lunch")

    await until(paused, "the pause")
    assert (await steer(slow, job_id, "pause")).json()["success"] is False
    slow.provider.gate.set()

    async def drained() -> bool:
        job = await slow.job(job_id)
        return bool(job["completed_images"] == 2 and sum(stage["in_flight"] for stage in job["stages"]) == 0)

    await until(drained, "the calls in progress to be delivered")
    job = await slow.job(job_id)
    assert (job["status"], job["paused"], job["actions"]) == ("processing", True, ["resume", "cancel"])
    assert slow.provider.total_calls == 2
    assert (await steer(slow, job_id, "resume")).json()["success"] is True
    assert (await slow.ended(job_id))["completed_images"] == 4
    assert slow.provider.total_calls == 4
    await paid(slow, 4)


async def test_a_paused_job_can_be_cancelled(slow: ApiStack) -> None:
    job_id = await slow.order(4)
    await slow.provider.until_calls(2)
    await steer(slow, job_id, "pause")
    assert (await steer(slow, job_id, "cancel", "PATCH")).json()["success"] is True
    slow.provider.gate.set()
    job = await slow.ended(job_id)
    assert (job["status"], job["completed_images"], job["paused"]) == ("cancelled", 2, False)
    await paid(slow, 2)


async def test_a_restart_makes_only_what_is_missing(slow: ApiStack) -> None:
    job_id = await slow.order(4)
    await slow.provider.until_calls(2)
    refused = await steer(slow, job_id, "restart")
    assert refused.status_code == 409
    await steer(slow, job_id, "cancel")
    slow.provider.gate.set()
    before = await slow.ended(job_id)
    answer = await steer(slow, job_id, "restart")
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    # Neither the answer nor who looks next is told the end of the run before.
    assert answer.json()["status"] in ("processing", "completed")
    assert (await slow.job(job_id))["status"] in ("processing", "completed")
    job = await slow.ended(job_id)
    assert (job["status"], job["completed_images"]) == ("completed", 4)
    assert set(before["generated_attach_ids"]) < set(job["generated_attach_ids"])
    assert set(slow.provider.calls.values()) == {1}
    await paid(slow, 4)
    assert (await slow.http.get(f"/api/jobs/{job_id}/receipt")).json()["total"]["charged"] == 4 * PRICE


async def test_a_short_job_can_be_restarted(api: ApiStack) -> None:
    api.provider.script = {(0, 0): [Act.MISS]}
    job_id = await api.order(2, max_top_ups=0)
    job = await api.ended(job_id)
    assert (job["status"], job["completed_images"], job["failed_images"]) == ("completed", 1, 1)
    assert job["actions"] == ["restart"]
    assert (await steer(api, job_id, "restart")).json()["success"] is True
    assert (await api.ended(job_id))["completed_images"] == 2
    await paid(api, 2)


async def test_a_run_that_is_over_at_once_does_not_keep_a_restart_waiting(quiet: ApiStack) -> None:
    job_id = await quiet.order(1)
    await steer(quiet, job_id, "cancel")
    ended_at = datetime.fromisoformat((await quiet.job(job_id))["completed_at"])
    async with asyncio.timeout(5):
        await until_opened_again(quiet.services, job_id, ended_at - timedelta(seconds=1), 60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await until_opened_again(quiet.services, job_id, ended_at, 60)


async def test_twenty_cancels_at_once_are_one(slow: ApiStack) -> None:
    job_id = await slow.order(4)
    await slow.provider.until_calls(2)
    answers = await asyncio.gather(*(slow.http.post(f"/api/jobs/{job_id}/cancel") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert any(answer.json()["success"] for answer in answers)
    slow.provider.gate.set()
    assert (await slow.ended(job_id))["completed_images"] == 2
    await paid(slow, 2)


@pytest.mark.parametrize("held", [False, True])
async def test_two_restarts_at_once_are_one_run(slow: ApiStack, held: bool) -> None:
    job_id = await slow.order(4)
    await slow.provider.until_calls(2)
    await steer(slow, job_id, "cancel")
    slow.provider.gate.set()
    await slow.ended(job_id)
    if held:
        slow.provider.gate.clear()
    started = monotonic()
    answers = await asyncio.gather(*(steer(slow, job_id, "restart") for _ in range(2)))
    assert monotonic() - started < 2 * AT_ONCE
    assert {answer.status_code for answer in answers} in ({200}, {200, 409})
    if held:
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        slow.provider.gate.set()
    assert (await slow.ended(job_id))["completed_images"] == 4
    assert set(slow.provider.calls.values()) == {1}
    await paid(slow, 4)


async def test_a_cancel_during_a_restart_ends_cancelled_or_comes_before_it(slow: ApiStack) -> None:
    job_id = await slow.order(6)
    await slow.provider.until_calls(2)
    await steer(slow, job_id, "cancel")
    slow.provider.gate.set()
    await slow.ended(job_id)
    slow.provider.gate.clear()
    restart, cancel = await asyncio.gather(steer(slow, job_id, "restart"), slow.http.post(f"/api/jobs/{job_id}/cancel"))
    assert restart.status_code == 200
    assert cancel.status_code == 200, cancel.text
    slow.provider.gate.set()
    job = await slow.ended(job_id)
    if cancel.json()["success"]:
        assert job["status"] == "cancelled"
    else:
        assert job["status"] == "completed"
    assert job["completed_images"] == slow.provider.total_calls
    await paid(slow, job["completed_images"])


async def test_pause_and_resume_at_once_leave_a_job_that_ends(slow: ApiStack) -> None:
    job_id = await slow.order(4)
    await slow.provider.until_calls(2)
    await asyncio.gather(*(slow.http.post(f"/api/jobs/{job_id}/{wish}") for wish in ("pause", "resume") * 10))
    slow.provider.gate.set()

    async def over() -> bool:
        await slow.http.post(f"/api/jobs/{job_id}/resume")
        return bool((await slow.job(job_id))["status"] == "completed")

    await until(over, "the end")
    await paid(slow, 4)
