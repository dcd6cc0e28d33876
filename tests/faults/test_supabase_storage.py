"""Supabase Storage that refuses, stumbles or stays silent: each trouble has its kind and one line of words."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import jwt
import pytest

from darkroom.domain.errors import DarkroomError, StorageRefused, StorageUnavailable
from darkroom.storage.supabase import BATCH, PAGE, SupabaseStorage
from darkroom.supabase import open_supabase
from tests.support.supabase.storage_faults import Faults, Wrong
from tests.support.supabase.storage_objects import Bucket
from tests.support.supabase.storage_server import KEY, StorageServer, running_storage

BUCKET = "pictures"
WEBP = "image/webp"
SECRET = "a-secret-of-at-least-thirty-two-bytes"
PATIENT = httpx.Timeout(20)
IMPATIENT = httpx.Timeout(0.3, connect=3)

Call = Callable[[SupabaseStorage], Awaitable[object]]
Open = Callable[..., Awaitable[SupabaseStorage]]

CALLS: dict[str, Call] = {
    "put": lambda storage: storage.put("a/one", b"picture", WEBP),
    "get": lambda storage: storage.get("a/one"),
    "exists": lambda storage: storage.exists("a/one"),
    "delete": lambda storage: storage.delete(["a/one"]),
    "keys": lambda storage: storage.keys("a/"),
    "url": lambda storage: storage.url("a/one", timedelta(minutes=1)),
    "ensure_bucket": lambda storage: storage.ensure_bucket(),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StorageServer]:
    with running_storage(tmp_path / "storage", jwt_secret=SECRET) as running:
        yield running


@pytest.fixture
async def opening(server: StorageServer) -> AsyncIterator[Open]:
    """Opens the storage with any key, address and patience."""
    opened: list[SupabaseStorage] = []

    async def storage(
        key: str = KEY, url: str = server.url, timeouts: httpx.Timeout = PATIENT, bucket: str = BUCKET
    ) -> SupabaseStorage:
        opened.append(SupabaseStorage(await open_supabase(url, key, timeouts), bucket))
        return opened[-1]

    yield storage
    for each in opened:
        await each.close()


@pytest.fixture
async def storage(opening: Open) -> SupabaseStorage:
    """With the right key and an object in the bucket."""
    opened = await opening()
    await opened.put("a/one", b"picture", WEBP)
    return opened


async def trouble(call: Awaitable[object], kind: type[DarkroomError], *words: str) -> None:
    """Hold the call to fail with this kind of error, and its one line to hold these words."""
    with pytest.raises(kind) as caught:
        await call
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert BUCKET in message
    for word in words:
        assert word in message


@every_call
async def test_a_wrong_key_is_refused_with_the_name_of_the_setting(
    call: Call, storage: SupabaseStorage, opening: Open
) -> None:
    await trouble(call(await opening(key="wrong")), StorageRefused, "SUPABASE_SERVICE_ROLE_KEY", "service_role key")


@every_call
async def test_a_key_that_the_gateway_does_not_know_is_refused(
    call: Call, storage: SupabaseStorage, server: StorageServer
) -> None:
    server.faults = Faults(every=1, answer=Wrong.WRONG_KEY_AT_GATEWAY)
    await trouble(call(storage), StorageRefused, "SUPABASE_SERVICE_ROLE_KEY")


@pytest.mark.parametrize("name", ["put", "ensure_bucket"])
async def test_the_key_of_another_role_is_refused(name: str, storage: SupabaseStorage, opening: Open) -> None:
    anonymous = jwt.encode({"role": "anon", "exp": int(time.time()) + 60}, SECRET, "HS256")
    stranger = await opening(key=anonymous)
    await trouble(CALLS[name](stranger), StorageRefused, "SUPABASE_SERVICE_ROLE_KEY")


async def test_a_missing_bucket_holds_nothing_and_is_made_private_by_the_first_put(
    opening: Open, server: StorageServer
) -> None:
    storage = await opening()
    assert await storage.get("a/one") is None
    assert not await storage.exists("a/one")
    assert list(await storage.keys("a/")) == []
    assert await storage.url("a/one", timedelta(minutes=1)) is None
    await storage.delete(["a/one"])
    assert server.objects.buckets == {}
    await storage.put("a/one", b"picture", WEBP)
    assert await storage.get("a/one") == b"picture"
    assert server.objects.buckets[BUCKET].public is False


async def test_five_at_once_make_the_bucket_once(opening: Open, server: StorageServer) -> None:
    server.faults = Faults(together=5, operations=frozenset({"create_bucket"}))
    storages = [await opening() for _ in range(5)]
    await asyncio.gather(*(storage.put(f"a/{number}", b"picture", WEBP) for number, storage in enumerate(storages)))
    assert server.calls["create_bucket"] == 5
    assert list(await storages[0].keys("a/")) == [f"a/{number}" for number in range(5)]


async def test_a_public_bucket_is_told_and_left_as_it_is(opening: Open, server: StorageServer) -> None:
    storage = await opening()
    assert await storage.ensure_bucket() is False
    assert await storage.ensure_bucket() is False
    server.objects.update_bucket(BUCKET, public=True)
    assert await storage.ensure_bucket() is True
    assert server.objects.buckets[BUCKET].public is True


async def test_a_bucket_that_nothing_can_be_named_is_refused(opening: Open) -> None:
    storage = await opening(bucket=f"{BUCKET}#{'x' * 70}")
    await trouble(storage.put("a/one", b"x", WEBP), StorageRefused, "SUPABASE_BUCKET")


async def test_too_large_and_media_types_not_allowed_are_refused(opening: Open, server: StorageServer) -> None:
    server.objects.create_bucket(Bucket(BUCKET, BUCKET, file_size_limit=10, allowed_mime_types=["image/webp"]))
    storage = await opening()
    await trouble(storage.put("a/one", bytes(11), WEBP), StorageRefused, "a/one", "11 bytes", "size limit")
    await trouble(storage.put("a/one", b"x", "text/html"), StorageRefused, "a/one", "media type")
    await storage.put("a/one", bytes(10), WEBP)


@every_call
async def test_every_third_call_fails_for_the_moment_only(
    call: Call, storage: SupabaseStorage, server: StorageServer
) -> None:
    server.faults = Faults(every=3)
    await call(storage)
    await call(storage)
    await trouble(call(storage), StorageUnavailable, "500", "workers retry")
    await call(storage)


@every_call
@pytest.mark.parametrize("answer", [Wrong.BAD_GATEWAY, Wrong.BUSY, Wrong.DATABASE_DOWN, Wrong.NO_STORAGE])
async def test_what_another_time_mends_is_unavailable(
    answer: Wrong, call: Call, storage: SupabaseStorage, server: StorageServer
) -> None:
    server.faults = Faults(every=1, answer=answer)
    await trouble(call(storage), StorageUnavailable, server.url, answer.value, "workers retry")


@pytest.mark.parametrize("name", [name for name in CALLS if name != "get"])
async def test_a_server_that_is_no_storage_is_unavailable(
    name: str, storage: SupabaseStorage, server: StorageServer
) -> None:
    server.faults = Faults(every=1, answer=Wrong.ANOTHER_SERVER)
    await trouble(CALLS[name](storage), StorageUnavailable, "SUPABASE_URL")


async def test_a_missing_object_is_known_by_other_names_of_fields_too(
    storage: SupabaseStorage, server: StorageServer
) -> None:
    server.faults = Faults(every=1, answer=Wrong.NEWER_NO_OBJECT)
    assert await storage.get("a/one") is None
    assert not await storage.exists("a/one")
    assert await storage.url("a/one", timedelta(minutes=1)) is None


async def test_a_bucket_made_while_an_object_is_asked_for_is_no_answer(
    storage: SupabaseStorage, server: StorageServer
) -> None:
    server.faults = Faults(every=1, answer=Wrong.NO_BUCKET, operations=frozenset({"download"}))
    await trouble(storage.get("a/one"), StorageUnavailable, "workers retry")


@every_call
async def test_a_silent_server_is_unavailable(
    call: Call, storage: SupabaseStorage, opening: Open, server: StorageServer
) -> None:
    impatient = await opening(timeouts=IMPATIENT)
    server.faults = Faults(stalls=1)
    await trouble(call(impatient), StorageUnavailable, "ReadTimeout")
    await call(impatient)


async def test_a_put_that_was_carried_out_but_not_answered_is_put_again(opening: Open, server: StorageServer) -> None:
    storage = await opening(timeouts=IMPATIENT)
    await storage.ensure_bucket()
    server.faults = Faults(stalls=1)
    await trouble(storage.put("a/one", b"picture", WEBP), StorageUnavailable, "a/one")
    assert await storage.get("a/one") == b"picture"
    await storage.put("a/one", b"picture", WEBP)
    assert list(await storage.keys("a/")) == ["a/one"]


@every_call
async def test_a_cut_connection_is_unavailable(call: Call, storage: SupabaseStorage, server: StorageServer) -> None:
    server.faults = Faults(down=True)
    await trouble(call(storage), StorageUnavailable, server.url)
    server.faults = Faults()
    await call(storage)


@every_call
async def test_nobody_listening_is_unavailable(call: Call, opening: Open) -> None:
    with socket.socket() as taken:  # bound, but not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        storage = await opening(url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        await trouble(call(storage), StorageUnavailable, "no answer")


async def test_more_calls_than_connections_are_unavailable_while_none_is_free(
    storage: SupabaseStorage, opening: Open, server: StorageServer
) -> None:
    impatient = await opening(timeouts=httpx.Timeout(1, pool=0.2))
    server.faults = Faults(together=21, operations=frozenset({"download"}))
    outcomes = await asyncio.gather(*(impatient.get("a/one") for _ in range(21)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    assert sum("PoolTimeout" in str(outcome) for outcome in outcomes) == 1
    server.faults = Faults()
    assert await impatient.get("a/one") == b"picture"


async def test_a_large_object_may_take_longer_than_a_write(opening: Open) -> None:
    """A line of 8 MB/s: 20 MB take longer than the second that each write may take."""

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        left = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        while left:
            left -= len(await reader.read(80_000))
            await asyncio.sleep(0.01)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"Key":"a/b"}')
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(slowly, "127.0.0.1", 0) as line:
        host, port = line.sockets[0].getsockname()
        timeouts = httpx.Timeout(20, write=1)
        storage = await opening(url=f"http://{host}:{port}", timeouts=timeouts)
        await storage.put("a/large", bytes(20_000_000), WEBP)


async def test_more_than_a_page_is_listed_and_more_than_a_batch_deleted(
    storage: SupabaseStorage, server: StorageServer
) -> None:
    await storage.delete(["a/one"])
    wanted = [f"a/{number:05}" for number in range(max(PAGE, BATCH) + 1)]
    for key in wanted:
        server.objects.put(BUCKET, key, b"x", WEBP, upsert=True)
    server.calls.clear()
    assert list(await storage.keys("a/")) == wanted
    assert server.calls["list"] == 2
    await storage.delete(wanted)
    assert server.calls["remove"] == 3
    assert list(await storage.keys("a/")) == []
