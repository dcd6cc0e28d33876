"""What one user or address may do: so much, in all processes together, and nobody else pays for it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from temporalio.client import Client

from darkroom.client.executions import JobExecutions
from darkroom.domain.jobs import JobRow, NewJob
from tests.support.fakes.scripted import tiny_picture
from tests.support.minutes import minute_with_time_left
from tests.support.stacks.api import ApiStack, is_a_problem, running_api
from tests.support.until import until

ONE = {
    "api_host": "0.0.0.0",
    "api_streams_per_user": 1,
    "api_waits_per_user": 1,
    "api_archives_per_user": 1,
    "api_uploads_per_user": 1,
    "api_failed_keys_per_minute": 5,
    "api_open_jobs_per_user": 2,
    "api_free_orders_per_day": 1,
    "api_webhooks_per_day": 2,
    "api_webhooks_per_host_per_day": 3,
    "api_stored_mb_per_user": 1,
}


@pytest.fixture
async def one(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API that gives every user one of everything."""
    async with running_api(temporal, tmp_path, workers=False, settings=ONE) as api:
        yield api


def limited(answer: httpx.Response) -> None:
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    is_a_problem(answer)


async def user_with_a_job(api: ApiStack) -> tuple[dict[str, str], UUID]:
    user = uuid4()
    as_user = api.as_user(await api.key(user))
    return as_user, await api.written({"stages": [{"prompt": "a", "quantity": 1}]}, user)


async def test_a_user_has_so_many_streams_and_waits_and_another_has_theirs(one: ApiStack) -> None:
    mine, my_job = await user_with_a_job(one)
    theirs, their_job = await user_with_a_job(one)
    async with one.http.stream("GET", f"/api/jobs/{my_job}/events", headers=mine) as stream:
        assert stream.status_code == 200
        limited(await one.http.get(f"/api/jobs/{my_job}/events", headers=mine))
        async with one.http.stream("GET", f"/api/jobs/{their_job}/events", headers=theirs) as other:
            assert other.status_code == 200
        assert (await one.http.get(f"/api/jobs/{my_job}", headers=mine)).status_code == 200

    async def free_again() -> bool:
        async with one.http.stream("GET", f"/api/jobs/{my_job}/events", headers=mine) as stream:
            return stream.status_code == 200

    await until(free_again, "a stream that is free again")


async def test_a_user_waits_for_so_many_jobs_at_once(one: ApiStack) -> None:
    mine, job_id = await user_with_a_job(one)
    answers = await asyncio.gather(
        *(one.http.get(f"/api/jobs/{job_id}", params={"wait": 2}, headers=mine) for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429]
    limited(next(answer for answer in answers if answer.status_code == 429))


async def test_uploads_at_once_are_counted_before_they_are_read(one: ApiStack) -> None:
    mine, _ = await user_with_a_job(one)
    sending, go_on = asyncio.Event(), asyncio.Event()
    kind = {"Content-Type": "multipart/form-data; boundary=x", **mine}

    async def slowly() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        sending.set()
        await go_on.wait()
        yield tiny_picture() + b"\r\n--x--\r\n"

    first = asyncio.create_task(one.http.post("/api/attachments", content=slowly(), headers=kind))
    await sending.wait()
    refused: list[httpx.Response] = []

    async def second_is_refused() -> bool:
        refused.append(await one.http.post("/api/attachments", files={"file": b"x"}, headers=mine))
        return refused[-1].status_code == 429

    await until(second_is_refused, "the first upload to count")
    limited(refused[-1])
    go_on.set()
    assert (await first).status_code == 201


async def test_an_address_may_send_so_many_wrong_keys(one: ApiStack) -> None:
    mine, _ = await user_with_a_job(one)
    await minute_with_time_left()
    statuses = [(await one.http.get("/api/jobs", headers=one.as_user(f"dk_wrong-{n}"))).status_code for n in range(5)]
    assert statuses == [401] * 5
    limited(await one.http.get("/api/jobs", headers=one.as_user("dk_wrong-6")))
    limited(await one.http.post("/sign-in", data={"token": "dk_wrong-7"}))
    elsewhere = {**mine, "X-Forwarded-For": "203.0.113.9"}
    assert (await one.http.get("/api/jobs", headers=elsewhere)).status_code == 200


def order(**more: object) -> dict[str, object]:
    return {"stages": [{"prompt": "a", "quantity": 1}], **more}


async def test_a_user_has_so_many_open_jobs_and_an_ended_one_makes_room(one: ApiStack) -> None:
    mine, job_id = await user_with_a_job(one)
    assert (await one.http.post("/api/jobs", json=order(), headers=mine)).status_code == 202
    refused = await one.http.post("/api/jobs", json=order(), headers=mine)
    limited(refused)
    assert refused.json()["detail"].startswith("the limit of 2 open jobs per user is reached; cancel some")
    assert (await one.http.post(f"/api/jobs/{job_id}/cancel", headers=mine)).status_code == 200
    both = await asyncio.gather(*(one.http.post("/api/jobs", json=order(), headers=mine) for _ in range(2)))
    assert sorted(answer.status_code for answer in both) == [202, 429]
    limited(await one.http.post(f"/api/jobs/{job_id}/restart", headers=mine))
    theirs, _ = await user_with_a_job(one)
    assert (await one.http.post("/api/jobs", json=order(), headers=theirs)).status_code == 202


async def test_an_order_does_not_wait_for_the_start_of_the_one_before(
    temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_start, start = asyncio.Barrier(2), JobExecutions.start

    async def together(executions: JobExecutions, job: JobRow | NewJob, *, restart: bool) -> bool:
        await both_start.wait()
        return await start(executions, job, restart=restart)

    monkeypatch.setattr(JobExecutions, "start", together)
    async with running_api(temporal, tmp_path, workers=False, settings={"api_host": "0.0.0.0"}) as api:
        for operator in (False, True):
            caller = api.as_user(await api.key(uuid4(), operator=operator))
            async with asyncio.timeout(10):
                both = await asyncio.gather(
                    *(api.http.post("/api/jobs", json=order(), headers=caller) for _ in range(2))
                )
            assert [answer.status_code for answer in both] == [202, 202]


async def test_orders_without_a_charge_and_webhooks_have_limits_of_their_own(one: ApiStack) -> None:
    mine = one.as_user(await one.key(uuid4()))
    assert (await one.http.post("/api/jobs", json=order(max_credits=0), headers=mine)).status_code == 202
    refused = await one.http.post("/api/jobs", json=order(max_credits=0), headers=mine)
    limited(refused)
    assert "1 orders without a charge per day" in refused.json()["detail"]
    assert (await one.http.post("/api/jobs", json=order(), headers=mine)).status_code == 202


async def test_webhooks_have_a_limit_per_user_and_one_per_host(one: ApiStack) -> None:
    operator = one.as_user(await one.key(uuid4(), operator=True))
    hook = order(webhook_url="https://93.184.215.14/hook")
    statuses = []
    for _ in range(2):
        user = one.as_user(await one.key(uuid4()))
        for _ in range(2):
            answer = await one.http.post("/api/jobs", json=hook, headers=user)
            statuses.append(answer.status_code)
    limited(answer)
    assert statuses == [202, 202, 202, 429]
    assert "to this host per day" in answer.json()["detail"]
    assert (await one.http.post("/api/jobs", json=hook, headers=operator)).status_code == 202


async def test_a_users_uploads_have_so_much_room(one: ApiStack) -> None:
    mine = one.as_user(await one.key(uuid4()))
    picture = tiny_picture()
    padded = {"file": ("a.png", picture + bytes(999_000), "image/png")}
    assert (await one.http.post("/api/attachments", files=padded, headers=mine)).status_code == 201
    too_large = {"file": ("a.png", picture + bytes(1_000_000), "image/png")}
    limited(await one.http.post("/api/attachments", files=too_large, headers=mine))
    # What is stored counts, not what was sent of it.
    assert (await one.http.post("/api/attachments", files=padded, headers=mine)).status_code == 201


async def test_large_requests_at_once_are_counted_before_they_are_read(temporal: Client, tmp_path: Path) -> None:
    settings = {"api_large_requests_per_user": 2}
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as api:
        text = b'{"stages": [{"prompt": "' + b"a" * 19_000 + b'", "quantity": 1}]}'
        stage = text[text.index(b"[") + 1 : -2]
        large = text.replace(stage, (stage + b",") * 5 + stage)
        go_on, sending = asyncio.Event(), asyncio.Semaphore(0)

        async def slowly() -> AsyncIterator[bytes]:
            yield large[:1_000]
            sending.release()
            await go_on.wait()
            yield large[1_000:]

        kind = {"Content-Type": "application/json"}
        slow = [asyncio.create_task(api.http.post("/api/jobs/quote", content=slowly(), headers=kind)) for _ in range(2)]
        for _ in slow:
            await sending.acquire()

        async def third_is_refused() -> bool:
            return (await api.http.post("/api/jobs/quote", content=large, headers=kind)).status_code == 429

        await until(third_is_refused, "the first two to count")
        assert (await api.http.post("/api/jobs/quote", content=text, headers=kind)).status_code == 200
        go_on.set()
        answers = await asyncio.gather(*slow)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json()["images"] == 6
