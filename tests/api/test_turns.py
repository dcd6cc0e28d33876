"""Users take turns: what one asks for keeps no other waiting, and what nobody waits for any more is dropped."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.client import Client

from darkroom.api import turns
from darkroom.api.turns import OF_ONE, InTurns, belongs_to
from darkroom.api_limits import ApiLimits
from darkroom.fair_queue import elsewhere
from tests.api.test_allowances import limited, user_with_a_job
from tests.support.counted_calls import counted_calls
from tests.support.minutes import minute_with_time_left
from tests.support.stacks.api import ApiStack, running_api
from tests.support.until import until

A, B = UUID(int=1), UUID(int=2)
KEYS = {"Bearer dk_a": A, "Bearer dk_a2": A, "Bearer dk_b": B}


class Work:
    """An application whose answers wait until they may go on."""

    def __init__(self) -> None:
        self.working: list[UUID] = []
        self.waiting = 0
        self.go_on = asyncio.Event()
        self.cancelled = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        user = KEYS[request.headers["authorization"]]
        belongs_to(request, user)
        await request.body()
        if request.query_params.get("wait"):
            self.waiting += 1
            async with elsewhere():
                await self.go_on.wait()
        elif request.url.path != "/api/first":
            self.working.append(user)
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.working.remove(user)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


def with_state(app: ASGIApp) -> ASGIApp:
    """What `RequestGuard` adds."""

    async def passed_on(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {}}, receive, send)

    return passed_on


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def http(work: Work) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it, whose keys are known."""
    app = with_state(InTurns(work, ApiLimits(api_requests_per_user=20)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        for key in KEYS:
            await client.get("/api/first", headers={"Authorization": key})
        yield client


def asking(
    http: httpx.AsyncClient, key: str, path: str = "/api/x", method: str = "GET"
) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(http.request(method, path, headers={"Authorization": f"Bearer {key}"}))


async def test_a_user_is_worked_for_four_times_at_once_and_another_goes_ahead(
    work: Work, http: httpx.AsyncClient
) -> None:
    many = [asking(http, key) for key in ("dk_a", "dk_a2") for _ in range(10)]
    await until(lambda: _is(len(work.working) == OF_ONE), "the user's turns")
    other = asking(http, "dk_b")
    await until(lambda: _is(B in work.working), "another's turn")
    assert work.working.count(A) == OF_ONE
    work.go_on.set()
    answers = await asyncio.gather(*many, other)
    assert {answer.status_code for answer in answers} == {200}


async def _is(fact: bool) -> bool:
    return fact


async def test_who_waits_for_something_else_is_not_worked_for(work: Work, http: httpx.AsyncClient) -> None:
    waiting = [asking(http, "dk_a", "/api/x?wait=30") for _ in range(12)]
    await until(lambda: _is(work.waiting == 12), "all to wait")
    working = asking(http, "dk_a")
    await until(lambda: _is(A in work.working), "a turn for what is no waiting")
    work.go_on.set()
    await asyncio.gather(*waiting, working)


async def test_a_user_has_so_many_requests_in_progress(work: Work, http: httpx.AsyncClient) -> None:
    many = [asking(http, "dk_a", "/api/x?wait=30") for _ in range(20)]
    await until(lambda: _is(work.waiting == 20), "all to wait")
    refused = await asking(http, "dk_a2")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    other = asking(http, "dk_b")
    await until(lambda: _is(B in work.working), "another's turn")
    work.go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*many, other)} == {200}


@pytest.mark.parametrize(("method", "dropped"), [("GET", True), ("POST", False)])
async def test_what_nobody_waits_for_is_dropped_unless_it_changes_something(
    work: Work, method: str, dropped: bool
) -> None:
    app = with_state(InTurns(work, ApiLimits()))
    gone, sent = asyncio.Event(), list[Message]()
    first = {"type": "http.request", "body": b"", "more_body": False}
    came = [first]

    async def receive() -> Message:
        if came:
            return came.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer dk_a")]
    scope = {"type": "http", "method": method, "path": "/x", "query_string": b"", "headers": headers}
    request = asyncio.ensure_future(app(scope, receive, send))
    await until(lambda: _is(work.working == [A]), "the work")
    gone.set()
    if dropped:
        await asyncio.wait_for(request, 10)
    else:
        await asyncio.sleep(0)
        work.go_on.set()
        await asyncio.wait_for(request, 10)
    assert (work.cancelled, bool(sent)) == (int(dropped), not dropped)


FEW = {
    "api_host": "0.0.0.0",
    "api_waits_per_user": 1,
    "api_reads_per_minute": 12,
    "api_follows_per_minute": 3,
}


@pytest.fixture
async def few(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """An API of which every user may read a little."""
    async with running_api(temporal, tmp_path, workers=False, settings=FEW) as api:
        yield api


async def test_reads_and_streams_have_a_rate_and_it_is_answered_late(
    few: ApiStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "HELD_BACK", 0.5)
    mine, job_id = await user_with_a_job(few)
    theirs, their_job = await user_with_a_job(few)
    await minute_with_time_left()
    assert (await few.http.get("/api/jobs", headers=mine)).status_code == 200  # whose the key is, is known from here on
    for _ in range(3):
        answer = await few.http.get(f"/api/jobs/{job_id}?wait=1", headers=mine)
        assert answer.status_code == 200
    refused = await few.http.get(f"/api/jobs/{job_id}/events", headers=mine)
    limited(refused)
    assert "3 event streams and waiting requests per minute" in refused.json()["detail"]
    for _ in range(8):
        assert (await few.http.get("/api/jobs", headers=mine)).status_code == 200
    started = time.monotonic()
    refused = await few.http.get("/api/jobs", headers=mine)
    assert time.monotonic() - started >= turns.HELD_BACK
    limited(refused)
    assert "12 reads per minute" in refused.json()["detail"]
    assert (await few.http.get(f"/api/jobs/{their_job}", headers=theirs)).status_code == 200


async def test_a_poll_that_is_given_up_waits_no_longer(temporal: Client, tmp_path: Path) -> None:
    settings = {"api_host": "0.0.0.0", "api_waits_per_user": 1}
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as api:
        mine, job_id = await user_with_a_job(api)
        long = f"/api/jobs/{job_id}?wait=60"
        with suppress(httpx.ReadTimeout):
            await api.http.get(long, headers=mine, timeout=1)

        async def is_free() -> bool:
            try:
                return (await api.http.get(f"/api/jobs/{job_id}?wait=1", headers=mine)).status_code == 200
            except httpx.ReadTimeout:
                return False

        await until(is_free, "the place of the poll that was given up")


async def test_requests_for_one_job_share_readings(quiet: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await quiet.written({"stages": [{"prompt": "a", "quantity": 1}]})
    counts = counted_calls(monkeypatch)
    answers = await asyncio.gather(*(quiet.http.get(f"/api/jobs/{job_id}") for _ in range(30)))
    assert {answer.status_code for answer in answers} == {200}
    assert counts["snapshot"] < 15, counts


async def test_what_was_changed_before_is_in_what_is_read_together(signed: ApiStack) -> None:
    mine = signed.as_user(await signed.key(uuid4()))
    order = {"stages": [{"prompt": "a", "quantity": 1}]}
    job_id = (await signed.http.post("/api/jobs", json=order, headers=mine)).json()["job_id"]
    for number in range(10):
        reading = [asyncio.create_task(signed.http.get(f"/api/jobs/{job_id}", headers=mine)) for _ in range(5)]
        renamed = await signed.http.patch(f"/api/jobs/{job_id}", json={"name": f"n {number}"}, headers=mine)
        assert renamed.json()["name"] == f"n {number}"
        assert (await signed.http.get(f"/api/jobs/{job_id}", headers=mine)).json()["name"] == f"n {number}"
        await asyncio.gather(*reading)
