"""Processor time and memory count the children; a delayed connection delays each request and loses none."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from benchmarks.delaying_proxy import delayed
from benchmarks.usage import cpu_seconds, shared_out_bytes

MB = 1_000_000

CHILD = """
import os, sys, time
kept = os.urandom(60_000_000)
while time.process_time() < 0.5:
    pass
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def before() -> tuple[float, int]:
    return cpu_seconds(os.getpid()), shared_out_bytes(os.getpid())


def test_a_childs_time_and_memory_count_while_it_lives_and_its_time_afterwards(
    before: tuple[float, int],
) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert cpu_seconds(os.getpid()) - before[0] >= 0.4
        assert shared_out_bytes(os.getpid()) - before[1] > 55 * MB
    assert cpu_seconds(os.getpid()) - before[0] >= 0.4  # counted in ticks of 10 ms
    assert shared_out_bytes(os.getpid()) - before[1] < 55 * MB


async def test_each_request_arrives_later_and_in_order() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    delay = 0.05
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, delayed(url, delay) as address:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        for number in range(3):
            began = time.monotonic()
            writer.write(b"%d\n" % number)
            assert await reader.readline() == b"%d\n" % number
            assert time.monotonic() - began >= delay
        writer.write(b"".join(b"%d\n" % number for number in range(1_000)))
        assert [await reader.readline() for _ in range(1_000)] == [b"%d\n" % number for number in range(1_000)]
        writer.close()
        await writer.wait_closed()
