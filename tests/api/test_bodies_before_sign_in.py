"""What a stranger sends is never read, and what a user sends is read within limits, while others are served."""

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi.routing import APIRoute
from temporalio.client import Client

from darkroom.api.guarded_routes import LARGEST_DOCUMENT, LARGEST_REQUEST, GuardedRoute
from darkroom.api.routes import deployment, events, jobs, orders, pictures, tables
from darkroom.domain.errors import OrderRejected
from darkroom.orders.json_text import DEEPEST, MOST_PARTS, NotJson, read_json
from tests.support.minutes import minute_with_time_left
from tests.support.stacks.api import ApiStack, is_a_problem, running_api

JOB = "00000000-0000-4000-8000-000000000000"
DOORS = (
    ("POST", "/api/jobs", "application/json"),
    ("POST", "/api/jobs", "text/csv"),
    ("POST", "/api/jobs/quote", "application/json"),
    ("POST", "/api/tables", "text/csv"),
    ("POST", "/api/attachments", "multipart/form-data; boundary=x"),
    ("POST", "/api/jobs/cancel", "application/json"),
    *(("POST", f"/api/jobs/{JOB}/{action}", "application/json") for action in ("cancel", "pause", "resume")),
    ("PATCH", f"/api/jobs/{JOB}/cancel", "application/json"),
)
MANY = b'{"stages": [' + b"[]," * (LARGEST_DOCUMENT // 3 - 10) + b"[]]}"


async def answer_to_a_head(api: ApiStack, method: str, path: str, *headers: str) -> bytes:
    """The first line that the server sends to a head whose body never comes."""
    where = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        head = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {where.netloc}", *headers, "", ""])
        writer.write(head.encode())
        return await asyncio.wait_for(reader.readline(), 5)
    finally:
        writer.close()


@pytest.mark.parametrize(("method", "path", "kind"), DOORS)
async def test_a_stranger_is_refused_before_the_body(signed: ApiStack, method: str, path: str, kind: str) -> None:
    for credentials in ((), ("Authorization: Bearer dk_nobody-has-this-key",), ("Authorization: Basic eDp5",)):
        for length in ("Content-Length: 12000000", "Content-Length: 5", "Transfer-Encoding: chunked"):
            line = await answer_to_a_head(
                signed, method, path, length, f"Content-Type: {kind}", "Sec-Fetch-Site: none", *credentials
            )

            # What is too long for the route may also be told so: its head says it.
            assert line.split()[1] in (b"401", b"413"), (credentials, length, line)


def test_every_route_of_the_api_knows_who_asks_first() -> None:
    for module in (orders, tables, jobs, events, pictures, deployment):
        for route in module.router.routes:
            assert not isinstance(route, APIRoute) or isinstance(route, GuardedRoute), route


async def test_only_orders_tables_and_uploads_take_a_large_body(quiet: ApiStack) -> None:
    large = b'{"reason": "' + b"x" * LARGEST_REQUEST + b'"}'
    job_id = await quiet.order(1)
    for path in ("/api/jobs/cancel", f"/api/jobs/{job_id}/cancel", f"/api/jobs/{job_id}/pause"):
        answer = await quiet.http.post(path, content=large, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413, path
        is_a_problem(answer)
    answer = await quiet.http.post("/sign-in", data={"token": "x" * LARGEST_REQUEST})
    assert answer.status_code == 413
    order = {"stages": [{"prompt": "a" * 18_000, "quantity": 1}] * 20}
    assert (await quiet.http.post("/api/jobs/quote", json=order)).status_code == 200


async def test_a_document_of_millions_of_parts_is_refused_while_others_are_served(quiet: ApiStack) -> None:
    kind = {"Content-Type": "application/json"}
    answered = 0
    posts = [asyncio.create_task(quiet.http.post("/api/jobs", content=MANY, headers=kind)) for _ in range(4)]
    while not all(post.done() for post in posts):
        assert (await quiet.http.get("/healthz")).status_code == 200
        answered += 1
    for post in posts:
        answer = post.result()
        assert (answer.status_code, answer.json()["detail"][:41]) == (
            422,
            f"document: has more than {MOST_PARTS:,} values and"[:41],
        )
    # How long each waits is measured in a process of the API's own (tests/load).
    assert answered > 5


@pytest.mark.parametrize("text", ["[" * 11, '{"a":' * 11, '[{"a":' * 6])
def test_depth_counts_outside_strings(text: str) -> None:
    deep = text * 10
    with pytest.raises(NotJson, match=f"nested deeper than {DEEPEST} levels"):
        read_json(deep)
    quoted = '["' + deep.replace('"', '\\"') + '"]'
    assert read_json(quoted) == [deep]


@pytest.mark.parametrize(
    "text",
    [
        '"' * (2 * MOST_PARTS + 3),
        "[" + "[]," * MOST_PARTS + "[]]",
        '["a' + '\\"' * 5_000_000,  # no end: as long as it is, once
        "[" * (DEEPEST + 1) + '"' + "\\" * 5_000_001,
        "{" + '"a":1,' * MOST_PARTS + '"b":2}',
    ],
    ids=["quotes", "lists", "no-end", "backslashes", "keys"],
)
def test_what_is_refused_is_refused_fast(text: str) -> None:
    started = time.process_time()
    with pytest.raises(OrderRejected):
        read_json(text)
    assert time.process_time() - started < 1


async def test_quotes_and_tables_count_as_changes(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path, workers=False, settings={"api_changes_per_minute": 3}) as api:
        await minute_with_time_left()
        statuses = [
            (await api.http.post("/api/jobs/quote", json={"stages": [{"prompt": "a", "quantity": 1}]})).status_code
            for _ in range(3)
        ]
        assert statuses == [200] * 3
        refused = await api.http.post("/api/tables", content=b"a\n1\n", headers={"Content-Type": "text/csv"})
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
