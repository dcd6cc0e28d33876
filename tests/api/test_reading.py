"""Reading jobs: waiting answers, lists, receipts and archives, with a worker, without one, and without Temporal."""

import asyncio
import contextlib
import io
import json
import socket
import sqlite3
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from uuid import UUID, uuid4

import httpx
import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from darkroom.api.server import listening
from darkroom.bootstrap import RECORDS_FILE
from darkroom.domain.names import LOCAL_USER
from darkroom.embedded.address import ADDRESS_FILE
from tests.support.hostile_pictures import picture
from tests.support.stacks.api import ApiStack, is_a_problem, running_api
from tests.support.until import until
from worker import running_workers

SOONER = 15.0
"""Seconds: long before the time that was asked for is over, on a machine that is busy with something else."""

UNANSWERED = 8.0
"""Seconds: we give up on a query that no worker answers after 2, Temporal does after 10."""

LEMON = {"stages": [{"prompt": "a lemon", "quantity": 2}]}


def test_no_answer_waits_for_the_client_to_acknowledge_its_head() -> None:
    with listening("127.0.0.1", 0) as server, socket.create_connection(server.getsockname()) as client:
        connection, _ = server.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert client.getpeername() == connection.getsockname()


async def followed(api: ApiStack) -> bool:
    return any(feed.followers for feed in api.services.feeds._feeds.values())


@pytest.mark.parametrize("wish", ["until=change", "until=end", ""])
async def test_an_answer_is_held_back_until_something_happens(quiet: ApiStack, wish: str) -> None:
    job_id = await quiet.order(3)
    waiting = asyncio.create_task(quiet.http.get(f"/api/jobs/{job_id}?wait=60&{wish}"))
    await until(lambda: followed(quiet), "somebody to follow")
    assert not waiting.done()
    await quiet.http.post(f"/api/jobs/{job_id}/cancel")
    async with asyncio.timeout(SOONER):
        assert (await waiting).json()["status"] == "cancelled"


async def test_an_answer_is_not_held_back_longer_than_asked(quiet: ApiStack) -> None:
    job_id = await quiet.order(3)
    started = monotonic()
    wishes = [quiet.http.get(f"/api/jobs/{job_id}?wait=1&until={wish}") for wish in ("change", "end")]
    assert [answer.json()["status"] for answer in await asyncio.gather(*wishes)] == ["pending", "pending"]
    # No worker answers the query either, which Temporal would wait 10 s for.
    assert 1 <= monotonic() - started < 1 + UNANSWERED


async def test_a_job_that_has_ended_is_not_waited_for(quiet: ApiStack) -> None:
    job_id = await quiet.order(3)
    await quiet.http.post(f"/api/jobs/{job_id}/cancel")
    for wish in ("until=change", "until=end"):
        async with asyncio.timeout(SOONER):
            answer = await quiet.http.get(f"/api/jobs/{job_id}?wait=60&{wish}")
        assert answer.json()["status"] == "cancelled"


async def test_a_wish_to_wait_that_is_none_is_refused(quiet: ApiStack) -> None:
    job_id = await quiet.order(1)
    for wish in ("wait=61", "wait=-1", "wait=1.5", "until=never", "wait=5&until="):
        answer = await quiet.http.get(f"/api/jobs/{job_id}?{wish}")
        assert answer.status_code == 400, wish
        is_a_problem(answer)


async def test_without_a_worker_the_records_answer(quiet: ApiStack) -> None:
    job_id = await quiet.order(2)
    started = monotonic()
    job = await quiet.job(job_id)
    assert monotonic() - started < UNANSWERED
    assert (job["source"], job["status"], job["total_images"]) == ("records", "pending", 2)


async def test_a_job_whose_worker_has_gone_is_told_and_cancelled_at_once(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path, workers=False, settings={"stage_concurrency": 1}) as api:
        async with running_workers(api.parts, temporal):
            job_id = await api.order(400)
            await api.provider.until_calls(2)
            assert (await api.job(job_id))["source"] == "workflow"
            await api.http.post(f"/api/jobs/{job_id}/pause")

            async def paused() -> bool:
                return bool((await api.job(job_id))["paused"])

            await until(paused, "the pause")
        job = await api.job(job_id)
        assert (job["source"], job["status"], job["paused"]) == ("records", "processing", True)
        started = monotonic()
        answer = await api.http.post(f"/api/jobs/{job_id}/cancel")
        assert answer.json()["success"] is True
        assert monotonic() - started < UNANSWERED
        async with running_workers(api.parts, temporal):
            assert (await api.ended(job_id))["status"] == "cancelled"
        assert await api.parts.records.audit() == []


async def walked(api: ApiStack, query: str = "", *, ordering: bool = False) -> list[str]:
    """The ids of all pages, one after another; while others order, if so wished."""
    ids: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.http.get(f"/api/jobs?limit=7{query}" + (f"&cursor={cursor}" if cursor else ""))).json()
        ids += [job["job_id"] for job in page["jobs"]]
        assert len(page["jobs"]) <= 7
        cursor = page["next_cursor"]
        if ordering:
            await api.order(1)
    return ids


async def test_a_walk_through_the_list_misses_none_and_meets_none_twice_while_others_order(quiet: ApiStack) -> None:
    await asyncio.gather(*(quiet.order(1) for _ in range(15)))
    for _ in range(15):
        await quiet.order(1)
    thirty = [str(job_id) for job_id in quiet.jobs]
    ids = await walked(quiet, ordering=True)
    assert len(ids) == len(set(ids))
    assert set(thirty) == set(ids)
    assert ids[:15] == thirty[:14:-1]
    assert len(await walked(quiet)) == len(quiet.jobs)


async def test_the_list_can_be_of_one_status(quiet: ApiStack) -> None:
    for number in range(16):
        job_id = await quiet.order(1)
        if number % 2:
            await quiet.http.post(f"/api/jobs/{job_id}/cancel")
    assert len(await walked(quiet, "&status=cancelled")) == 8
    assert len(await walked(quiet, "&status=pending")) == 8
    assert len(await walked(quiet, "&status=pending,cancelled")) == len(await walked(quiet)) == 16
    assert len(await walked(quiet, "&status=user_cancelled,%20completed")) == 8
    assert await walked(quiet, "&status=completed") == []
    for status in ("waiting", "CANCELLED", "", "pending,canceled", "pending,"):
        assert (await quiet.http.get(f"/api/jobs?status={status}")).status_code == 400


async def test_the_list_can_be_of_one_user(quiet: ApiStack) -> None:
    job_id = await quiet.order(1)
    assert await walked(quiet, f"&userId={LOCAL_USER}&status=pending,processing") == [str(job_id)]
    assert await walked(quiet, f"&userId={uuid4()}") == []
    assert (await quiet.http.get("/api/jobs?userId=me")).status_code == 400


async def test_a_receipt_comes_when_a_job_has_ended(api: ApiStack) -> None:
    api.provider.gate.clear()
    job_id = await api.order(2)
    await api.provider.until_calls(2)
    early = await api.http.get(f"/api/jobs/{job_id}/receipt")
    assert (early.status_code, early.json()["retryable"]) == (409, True)
    is_a_problem(early)
    api.provider.gate.set()
    await api.ended(job_id)
    receipt = (await api.http.get(f"/api/jobs/{job_id}/receipt")).json()
    assert (receipt["ordered"], receipt["delivered"], receipt["total"]["charged"]) == (2, 2, 40)


async def test_a_job_that_never_began_has_no_receipt(quiet: ApiStack) -> None:
    job_id = await quiet.order(2)
    await quiet.http.post(f"/api/jobs/{job_id}/cancel")
    answer = await quiet.http.get(f"/api/jobs/{job_id}/receipt")
    assert (answer.status_code, answer.json()["retryable"]) == (409, False)
    is_a_problem(answer)


async def test_a_job_that_was_never_a_valid_order_has_its_page_all_the_same(quiet: ApiStack) -> None:
    job_id = await quiet.written({"stages": [{"prompt": "a lemon", "quantity": 0}]})
    answer = await quiet.http.get(f"/api/jobs/{job_id}/order")
    assert (answer.status_code, "stages[0].quantity" in answer.json()["detail"]) == (409, True)
    is_a_problem(answer)
    page = await quiet.http.get(f"/jobs/{job_id}")
    assert (page.status_code, str(job_id) in page.text) == (200, True)


async def test_the_order_of_a_row_whose_document_is_a_json_text_can_be_ordered_again(quiet: ApiStack) -> None:
    document = {"maxCredits": 60, "stages": [{"prompt": "a lemon", "quantity": 2}]}
    job_id = await quiet.written(document)
    with contextlib.closing(
        sqlite3.connect(quiet.parts.settings.darkroom_home / RECORDS_FILE, isolation_level=None)
    ) as db:
        text = json.dumps(json.dumps(document))
        db.execute("update quel_production_jobs set job_input_data = ? where job_id = ?", (text, str(job_id)))
    again = (await quiet.http.get(f"/api/jobs/{job_id}/order")).json()["document"]
    assert (again["max_credits"], again["stages"][0]["prompt"], again["stages"][0]["quantity"]) == (60, "a lemon", 2)


MANIFESTS = ["manifest.json", "manifest.csv"]


async def archived(api: ApiStack, job_id: UUID) -> zipfile.ZipFile:
    answer = await api.http.get(f"/api/jobs/{job_id}/archive.zip")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == f'attachment; filename="darkroom-{str(job_id)[:8]}.zip"'
    package = zipfile.ZipFile(io.BytesIO(answer.content))
    assert package.testzip() is None
    return package


async def test_an_archive_has_what_was_delivered_so_far_and_says_what_is_gone(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path, settings={"stage_concurrency": 2}) as api:
        api.provider.gate.clear()
        job_id = await api.order(2, 3)
        assert (await archived(api, job_id)).namelist() == MANIFESTS
        api.provider.gate.set()
        await api.ended(job_id)
        whole = await archived(api, job_id)
        assert whole.namelist() == [
            *("stage-1_001.webp", "stage-1_002.webp", "stage-2_001.webp", "stage-2_002.webp", "stage-2_003.webp"),
            *MANIFESTS,
        ]
        assert all(whole.read(name)[8:12] == b"WEBP" for name in whole.namelist()[:5])
        images = await api.parts.records.delivered_images(job_id, 0, 10)
        gone = next(image for image in images if (image.stage_index, image.ordinal) == (1, 1))
        await api.parts.storage.delete([gone.path])
        rest = await archived(api, job_id)
        assert len(rest.namelist()) == 4 + len(MANIFESTS) + 1
        assert "stage-2_002.webp" not in rest.namelist()
        assert "stage-2_002.webp" in rest.read("missing.txt").decode()
        listed = (await api.http.get(f"/api/jobs/{job_id}/images")).json()["images"]
        for image in listed:
            answer = await api.http.get(image["url"])
            assert answer.status_code == (404 if image["attach_id"] == gone.attach_id else 200)
            # It has a file of its own.
            assert (await api.http.get(image["thumbnail_url"])).status_code == 200


@pytest.fixture
async def alone(temporal: Client, tmp_path: Path) -> AsyncIterator[tuple[ApiStack, UUID]]:
    """The API after its Temporal server went away, and a job that was ordered before."""
    async with running_api(temporal, tmp_path) as before:
        job_id = await before.order(2)
        await before.ended(job_id)
    async with running_api(temporal, tmp_path, workers=False) as api:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        left = {"address": f"127.0.0.1:{port}", "ui_url": "http://127.0.0.1:8233", "pid": 1}
        (tmp_path / ADDRESS_FILE).write_text(json.dumps(left))
        yield api, job_id


async def test_without_temporal_everything_can_be_read(alone: tuple[ApiStack, UUID]) -> None:
    api, job_id = alone
    started = monotonic()
    for path in (
        "",
        "/order",
        "/images",
        "/receipt",
        "/archive.zip",
        "/events",
        "?wait=5&until=end",
    ):
        answer = await api.http.get(f"/api/jobs/{job_id}{path}")
        assert answer.status_code == 200, (path, answer.text)
    for path in ("/api/jobs", "/api/account", "/api/stats", "/healthz", "/docs", "/openapi.json"):
        assert (await api.http.get(path)).status_code == 200, path
    assert (await api.http.post("/api/jobs/quote", json=LEMON)).status_code == 200
    assert (await api.http.post("/api/attachments", files={"file": ("a.png", picture())})).status_code == 201
    assert monotonic() - started < 2 * UNANSWERED


async def test_an_outage_is_in_the_log_too(alone: tuple[ApiStack, UUID]) -> None:
    api, _ = alone
    with capture_logs() as lines:
        assert (await api.http.post("/api/jobs", json=LEMON)).status_code == 503
    [line] = [line for line in lines if line["event"] == "request not served"]
    assert (line["path"], line["log_level"]) == ("/api/jobs", "warning")
    assert "Temporal" in line["reason"]


async def test_without_temporal_nothing_is_ordered_or_steered(alone: tuple[ApiStack, UUID]) -> None:
    api, job_id = alone

    async def refused(answer: httpx.Response) -> None:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["retryable"] is True
        is_a_problem(answer)

    await refused(await api.http.get("/readyz"))
    await refused(await api.http.post("/api/jobs", json=LEMON))
    await refused(await api.http.post("/api/jobs", json=LEMON, headers={"Idempotency-Key": "later"}))
    for wish in ("pause", "resume", "restart", "cancel"):
        await refused(await api.http.post(f"/api/jobs/{job_id}/{wish}"))
    assert (await api.http.post(f"/api/jobs/{uuid4()}/cancel")).status_code == 404
    assert len(await api.parts.records.job_page(10)) == 1
    assert await api.parts.records.unfinished_jobs() == []
