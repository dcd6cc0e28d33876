"""Connections by enemies: half-open ones, slow ones and too many shut nobody out."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from temporalio.client import Client

from darkroom.api.app import make_app
from darkroom.api.connections import ConnectionLimits, Connections
from darkroom.api.server import server_config
from tests.support.stacks.api import ApiStack, running_api, serving_app
from tests.support.until import until

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SHORT = {"api_head_timeout": 0.5, "api_body_timeout": 0.5}
# So that this machine is a client like any other.
ELSEWHERE = {"api_trusted_proxies": ["192.0.2.0/24"]}


PROXIES = (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"))


class Line:
    """A connection as an enemy holds it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str, said: bytes = b"") -> "Line":
        where = urlsplit(url)
        line = cls(*await asyncio.open_connection(where.hostname, where.port))
        line.writer.write(said)
        return line

    async def rest(self, seconds: float = 5) -> bytes:
        """All that comes until the server closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), seconds)
        finally:
            self.writer.close()


@pytest.fixture
async def short(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API with short deadlines."""
    async with running_api(temporal, tmp_path, workers=False, settings=SHORT) as api:
        yield api


@pytest.fixture
async def few(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API that gives an address five connections, and all together eight."""
    settings = {**ELSEWHERE, "api_connections_per_address": 5, "api_connections": 8}
    async with running_api(temporal, tmp_path, workers=False, settings=settings) as api:
        yield api


@pytest.mark.parametrize("said", [b"", b"G", HEAD, HEAD + b"X-A: b\r\n", HEAD + b"\r\n" + HEAD])
async def test_a_head_has_a_deadline(short: ApiStack, said: bytes) -> None:
    started = time.monotonic()
    line = await Line.to(short.url, said)
    assert b"HTTP/1.1 408 " in await line.rest()
    assert time.monotonic() - started > 0.4


async def test_a_head_that_drips_has_the_same_deadline(short: ApiStack) -> None:
    line = await Line.to(short.url, HEAD)

    async def drip() -> None:
        while True:
            line.writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.1)

    dripping = asyncio.create_task(drip())
    try:
        assert (await line.rest(3)).startswith(b"HTTP/1.1 408 ")
    finally:
        dripping.cancel()


@pytest.mark.parametrize("length", [b"Content-Length: 50", b"Transfer-Encoding: chunked"])
async def test_a_body_has_a_deadline(short: ApiStack, length: bytes) -> None:
    said = b"POST /api/jobs/quote HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" + length
    line = await Line.to(short.url, said + b"\r\n\r\n")
    head, _, body = (await line.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["code"] == "timeout"


async def test_what_takes_long_to_answer_has_no_deadline(short: ApiStack) -> None:
    job_id = await short.order(1)
    started = time.monotonic()
    answer = await short.http.get(f"/api/jobs/{job_id}", params={"wait": 2})
    assert answer.status_code == 200
    assert time.monotonic() - started > 1.5


async def test_who_is_refused_is_not_listened_to_any_longer(signed: ApiStack) -> None:
    said = b"POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nSec-Fetch-Site: none\r\n"
    line = await Line.to(signed.url, said + b"Content-Length: 12000000\r\n\r\n{")
    assert (await line.rest(5)).startswith(b"HTTP/1.1 401 ")


async def test_an_address_has_so_many_connections(few: ApiStack) -> None:
    lines = [await Line.to(few.url) for _ in range(5)]
    refused = await (await Line.to(few.url, HEAD + b"\r\n")).rest()
    head, _, body = refused.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 10\r\n" in head
    assert json.loads(body)["detail"].startswith("more than 5 connections from your address")
    for line in lines:
        line.writer.close()

    async def back() -> bool:
        return (await few.http.get("/healthz")).status_code == 200

    await until(back, "a connection that is free again")


async def test_who_says_nothing_makes_room_for_who_asks(quiet: ApiStack) -> None:
    app = make_app(quiet.services)
    patient = quiet.parts.settings.model_copy(update={"api_connections": 50, "api_head_timeout": 60.0})
    async with serving_app(app, config=server_config(app, patient)) as url:
        silent = await asyncio.gather(*(Line.to(url, HEAD) for _ in range(60)))
        job_id = await quiet.order(1)
        busy = await Line.to(url, HEAD.replace(b"/healthz", b"/api/jobs/%s?wait=3" % str(job_id).encode()) + b"\r\n")
        for _ in range(100):
            line = await Line.to(url, HEAD + b"Connection: close\r\n\r\n")
            assert (await line.rest()).startswith(b"HTTP/1.1 200")
        more = await asyncio.gather(*(Line.to(url, HEAD) for _ in range(60)))
        # What is being answered is never ended for others.
        assert (await busy.reader.readline()).startswith(b"HTTP/1.1 200")
        for line in (*silent, *more, busy):
            line.writer.close()


async def test_half_open_connections_shut_nobody_out_and_write_no_tracebacks(
    quiet: ApiStack, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(quiet.services)
    few_seconds = quiet.parts.settings.model_copy(update={"api_connections": 300, "api_head_timeout": 1.0})
    config = server_config(app, few_seconds)
    with caplog.at_level(logging.WARNING):
        async with serving_app(app, config=config) as url:
            lines = await asyncio.gather(*(Line.to(url, HEAD) for _ in range(600)))
            started = time.monotonic()

            async def back() -> bool:
                line = await Line.to(url, HEAD + b"Connection: close\r\n\r\n")
                return (await line.rest()).startswith(b"HTTP/1.1 200")

            await until(back, "an answer")
            assert time.monotonic() - started < 20
            for line in lines:
                line.writer.close()
    assert [record for record in caplog.records if record.exc_info] == []


def test_addresses_count_as_one_customer_has_them() -> None:
    table = Connections(
        ConnectionLimits(connections=10, per_address=2, head_timeout=1, body_timeout=1, trusted_proxies=PROXIES)
    )
    assert table.counted_as("203.0.113.9") == "203.0.113.9" == table.counted_as("::ffff:203.0.113.9")
    assert table.counted_as("2001:db8::1") == table.counted_as("2001:db8::2:1") != table.counted_as("2001:db8:0:1::1")
    for trusted in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "", None, "testclient"):
        assert table.counted_as(trusted) is None
