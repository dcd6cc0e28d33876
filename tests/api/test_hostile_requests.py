"""Requests by enemies: each is refused in one line of problem+json with the id of the request, or harmless."""

import asyncio
import json
import threading
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from darkroom.api.guarded_routes import LARGEST_DOCUMENT
from darkroom.orders import ReadOrder, read_order
from tests.support.stacks.api import ApiStack, is_a_problem

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"
PARTS = [
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "..%252f..%252fetc%252fpasswd",
    "....//....//etc/passwd",
    "..\\..\\..\\etc\\passwd",
    "..%5c..%5cetc%5cpasswd",
    "%c0%ae%c0%ae/etc/passwd",
    "%00",
    "a%00.css",
    "docs.js%00.png",
    "%ff%fe",
    "%0d%0aX-Evil:1",
    "C:/windows/win.ini",
    "//etc/passwd",
    "~root/.ssh/id_rsa",
    "a" * 5_000,
    "%2e" * 1_000,
    ".",
    "..",
    "..;/healthz",
    "{job_id}",
    "${jndi:ldap://x}",
    "-1",
    "0",
    "9" * 400,
    "1e9",
    "0x10",
    "١٢٣",
    str(2**31),
    str(2**63),
]
ROUTES = [
    "/{}",
    "/static/{}",
    "/static/swagger/{}",
    "/static/../{}",
    "/pictures/{}",
    "/pictures/{}/thumbnail",
    "/pictures/1/{}",
    "/api/{}",
    "/api/jobs/{}",
    "/api/jobs/{}/events",
    "/api/jobs/{}/images",
    "/api/jobs/{}/order",
    "/api/jobs/{}/receipt",
    "/api/jobs/{}/archive.zip",
    "/api/jobs/00000000-0000-4000-8000-000000000000/{}",
    "/api/attachments/{}",
    "/jobs/{}",
    "/docs/{}",
]


async def raw(api: ApiStack, request: bytes, seconds: float = 5) -> bytes:
    """What the server answers to these very bytes."""
    where = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), seconds)
    finally:
        writer.close()


async def test_no_part_of_a_path_leads_anywhere_else(quiet: ApiStack) -> None:
    for path in [route.replace("{}", part) for route in ROUTES for part in PARTS]:
        # As it stands: httpx would tidy the dots away.
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        answer = await raw(quiet, request.encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert status < 500, (path[:80], answer[:400])
        assert b"root:" not in body
        assert b"[fonts]" not in body
        assert b"x-evil" not in head.lower()
        if status >= 400 and b"application/problem+json" not in head:
            assert b"text/plain" in head, (path[:80], head)
            assert body == b"Invalid HTTP request received.", (path[:80], body)


async def test_bodies_above_the_limit_are_413(quiet: ApiStack) -> None:
    big = b'{"stages": [{"prompt": "' + b"x" * LARGEST_DOCUMENT + b'"}]}'

    async def in_parts() -> Any:
        for start in range(0, len(big), 1 << 16):
            yield big[start : start + (1 << 16)]

    kind = {"Content-Type": "application/json"}
    for path in ("/api/jobs", "/api/jobs/quote", "/api/jobs/cancel", f"/api/jobs/{uuid4()}/cancel"):
        for content in (big, in_parts()):
            answer = await quiet.http.post(path, content=content, headers=kind)
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), (path, answer.text[:200])
            is_a_problem(answer)
    assert await quiet.parts.records.job_page(10) == []


LENGTHS: list[tuple[str, bytes, set[int]]] = [
    ("Content-Length: 10", b"{}", {0}),  # the rest is waited for
    ("Content-Length: 1", b'{"stages": []}', {400}),
    ("Content-Length: -1", b"{}", {400}),
    ("Content-Length: 2, 3", b"{}", {400}),
    ("Content-Length: 2\r\nContent-Length: 3", b"{}", {400}),
    ("Content-Length: 99999999999999999999999", b"{}", {400, 413}),
    ("Content-Length: 2\r\nTransfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n", {400, 422}),
    ("Transfer-Encoding: chunked", b"ffffffffffffffffff\r\n", {0, 400}),
    ("Transfer-Encoding: chunked", b"zz\r\n{}\r\n", {400}),
    ("Transfer-Encoding: gzip", b"{}", {400, 501}),
    ("Content-Encoding: gzip\r\nContent-Length: 2", b"{}", {415, 422}),
    ("Expect: 100-continue\r\nContent-Length: 2", b"{}", {422}),
]


async def test_lengths_that_lie_create_nothing(quiet: ApiStack) -> None:
    start = "POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    for head, body, statuses in LENGTHS:
        try:
            answer = await raw(quiet, f"{start}{head}\r\n\r\n".encode() + body, 0.5)
        except TimeoutError:
            assert 0 in statuses, head
            continue
        final = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").removeprefix(b"HTTP/1.1 100 \r\n\r\n")
        assert int(final.split()[1]) in statuses, (head, answer)
    assert (await quiet.http.get("/healthz")).status_code == 200
    assert await quiet.parts.records.job_page(10) == []


async def test_an_id_of_a_request_that_could_do_harm_is_replaced(quiet: ApiStack) -> None:
    start = "GET /api/nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    for given in ("a b", "a\tb", "x" * 65, EVIL, "ü", '"', "", "a/b", "%0d%0aX-Evil:1", "a,b", "{{7*7}}"):
        head, _, body = (await raw(quiet, f"{start}X-Request-ID: {given}\r\n\r\n".encode())).partition(b"\r\n\r\n")
        shown = json.loads(body)["request_id"]
        assert shown != given
        assert f"x-request-id: {shown}\r\n".encode() in head.lower() + b"\r\n"
        assert b"x-evil" not in head.lower()
    assert (await raw(quiet, f"{start}X-Request-ID: a\0b\r\n\r\n".encode())).startswith(b"HTTP/1.1 400 ")


async def test_a_good_id_of_a_request_is_kept(quiet: ApiStack) -> None:
    answer = await quiet.http.get("/api/nowhere", headers={"X-Request-ID": "Trace-1.b_2"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "Trace-1.b_2"


async def test_odd_headers_do_no_harm(quiet: ApiStack) -> None:
    job_id = await quiet.order(1)
    await quiet.http.post(f"/api/jobs/{job_id}/cancel")  # ended, so that its events end
    odd = [b"\xff\xfe", "ü".encode(), b"x" * 30_000, b"9" * 40, b"-1", b"1e9", EVIL.encode(), b"a, b", b"null"]
    for value in odd:
        answers = {
            "Last-Event-ID": await quiet.http.get(f"/api/jobs/{job_id}/events", headers=[(b"Last-Event-ID", value)]),
            "Prefer": await quiet.http.post("/api/jobs/quote", json={}, headers=[(b"Prefer", value)]),
            "Idempotency-Key": await quiet.http.post(
                "/api/jobs", json={"stages": []}, headers=[(b"Idempotency-Key", value)]
            ),
            "Authorization": await quiet.http.get("/api/jobs", headers=[(b"Authorization", b"Bearer " + value)]),
            "Cookie": await quiet.http.get("/api/jobs", headers=[(b"Cookie", b"darkroom_session=" + value)]),
            "Accept": await quiet.http.get("/api/jobs", headers=[(b"Accept", value)]),
            "Range": await quiet.http.get("/static/docs.js", headers=[(b"Range", value)]),
            "Origin": await quiet.http.post("/api/jobs/quote", json={}, headers=[(b"Origin", value)]),
        }
        for name, answer in answers.items():
            assert answer.status_code < 500, (name, value[:40], answer.text)
            if answer.status_code >= 400 and name != "Range":
                is_a_problem(answer)


async def test_a_wish_to_wait_that_is_none_is_ignored(quiet: ApiStack) -> None:
    document = {"stages": [{"prompt": "a", "quantity": 1}]}
    for wait in ("wait=-1", "wait=x", "wait=", "wait", "WAIT=5", "wait=0", "xwait=5", "\xb2wait=x"):
        async with asyncio.timeout(3):
            answer = await quiet.http.post("/api/jobs", json=document, headers=[(b"Prefer", wait.encode("latin-1"))])
        assert answer.status_code == 202, wait
        assert "preference-applied" not in answer.headers


async def test_an_origin_that_is_none_is_a_stranger(quiet: ApiStack) -> None:
    for origin in ("http://[", "http://[::1", "https://127.0.0.1@evil.example", "null", "", "file://"):
        answer = await quiet.http.post("/api/jobs/quote", json={}, headers={"Origin": origin})
        assert answer.status_code == 403, (origin, answer.text)
        is_a_problem(answer)


async def test_a_document_that_takes_long_to_read_is_cut_short_and_keeps_nobody_waiting(
    quiet: ApiStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: set[int] = set()

    def reading(*args: Any, **options: Any) -> ReadOrder:
        readers.add(threading.get_ident())
        return read_order(*args, **options)

    monkeypatch.setattr("darkroom.orders.intake.read_order", reading)
    stage = {"prompt": "a", "quantity": 1, **{f"unknown-{n}": n for n in range(100_000)}}
    answer = await quiet.http.post("/api/jobs/quote", json={"stages": [stage]})
    warnings = answer.json()["warnings"]
    assert (len(warnings), warnings[-1]) == (101, "99,900 more unknown keys, ignored")
    many = {"style": "cartoon", "pages": [{"dialogues": ["a"]}] * 50_000}
    answer = await quiet.http.post("/api/jobs/quote", json=many)
    assert answer.json()["detail"] == "stages: 50000 exceed the maximum of 1000"
    assert readers
    assert threading.get_ident() not in readers
