"""What goes wrong at the local Storage server goes wrong as asked, and only where."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError

from tests.support.supabase.storage_faults import Faults
from tests.support.supabase.storage_server import KEY, StorageServer, running_storage

BUCKET = "pictures"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StorageServer]:
    with running_storage(tmp_path) as running:
        yield running


@pytest.fixture
async def client(server: StorageServer) -> AsyncIterator[AsyncStorageClient]:
    """With a bucket."""
    async with httpx.AsyncClient(timeout=5, verify=False) as http:
        opened = AsyncStorageClient(f"{server.url}/", {"Authorization": f"Bearer {KEY}"}, http_client=http)
        await opened.create_bucket(BUCKET)
        yield opened


async def test_every_third_call_fails_where_it_was_asked_for(client: AsyncStorageClient, server: StorageServer) -> None:
    server.faults = Faults(every=3, operations=frozenset({"info"}))
    bucket = client.from_(BUCKET)
    await bucket.upload("a", b"x")
    answers: list[bool | str] = []
    for _ in range(6):
        try:
            answers.append(await bucket.exists("a"))
        except StorageApiError as error:
            answers.append(str(error.status))
        await bucket.download("a")
    assert answers == [True, True, "500"] * 2


async def test_a_call_that_stalls_was_carried_out(client: AsyncStorageClient, server: StorageServer) -> None:
    server.faults = Faults(stalls=1)
    client.session.timeout = httpx.Timeout(0.2)
    with pytest.raises(httpx.ReadTimeout):
        await client.from_(BUCKET).upload("a", b"x")
    client.session.timeout = httpx.Timeout(5)
    assert await client.from_(BUCKET).download("a") == b"x"


async def test_calls_wait_for_each_other(client: AsyncStorageClient, server: StorageServer) -> None:
    server.faults = Faults(together=2, operations=frozenset({"upload"}))
    bucket = client.from_(BUCKET)
    await asyncio.gather(bucket.upload("a", b"x"), bucket.upload("b", b"x"))
    assert server.calls["upload"] == 2


async def test_a_process_of_its_own_is_controlled_over_http(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.support.supabase.storage_server",
        "--folder",
        str(tmp_path),
        "--key",
        "right",
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        url = line.removeprefix("storage at ").partition(",")[0]
        async with httpx.AsyncClient(headers={"Authorization": "Bearer right"}) as http:
            assert (await http.post(f"{url}/storage/v1/bucket", json={"id": BUCKET})).status_code == 200
            await http.put(f"{url}/control", json={"every": 1, "answer": "502", "operations": ["get_bucket"]})
            assert (await http.get(f"{url}/bucket/{BUCKET}")).status_code == 502
            await http.put(f"{url}/control", json={"down": True})
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get(f"{url}/bucket/{BUCKET}")
            assert (await http.put(f"{url}/control", json={})).json()["calls"] == {"create_bucket": 1, "get_bucket": 2}
            assert (await http.get(f"{url}/bucket/{BUCKET}")).json()["id"] == BUCKET
            wrong = await http.put(f"{url}/control", content=json.dumps({"operations": ["none"]}))
            assert (wrong.status_code, wrong.json()) == (400, {"message": "no such operation: none"})
    finally:
        process.terminate()
        assert await process.wait() == 0
