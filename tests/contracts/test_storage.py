"""Bytes by key: whole or not at all, and never outside the folder."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from darkroom.domain.errors import StorageRefused
from darkroom.storage import Storage

WEBP = "image/webp"


async def test_what_was_put_is_got(storage: Storage) -> None:
    await storage.put("a/b/0-1.webp", b"picture", WEBP)
    assert await storage.get("a/b/0-1.webp") == b"picture"
    assert await storage.exists("a/b/0-1.webp")


async def test_nothing_lies_where_nothing_was_put(storage: Storage) -> None:
    assert await storage.get("a/none") is None
    assert not await storage.exists("a/none")
    assert list(await storage.keys("a/")) == []
    await storage.put("a/some", b"1", WEBP)
    assert await storage.get("a/none") is None


async def test_putting_twice_keeps_the_last_bytes(storage: Storage) -> None:
    await storage.put("a/one", b"first", WEBP)
    await storage.put("a/one", b"second", WEBP)
    await storage.put("a/one", b"second", WEBP)
    assert await storage.get("a/one") == b"second"
    assert list(await storage.keys("a/")) == ["a/one"]


async def test_deleting_twice_is_no_error(storage: Storage) -> None:
    await storage.put("a/one", b"1", WEBP)
    await storage.put("a/two", b"2", WEBP)
    await storage.delete(["a/one", "a/none", "b/c/none"])
    await storage.delete(["a/one"])
    await storage.delete([])
    assert list(await storage.keys("a/")) == ["a/two"]


async def test_deleting_everything_and_putting_again_works(storage: Storage) -> None:
    for _ in range(2):
        await storage.put("staging/job/0-0", b"1", WEBP)
        await storage.delete(["staging/job/0-0"])
    assert list(await storage.keys("staging/")) == []


async def test_keys_are_those_of_the_folder_at_any_depth(storage: Storage) -> None:
    for key in ("a/1", "a/b/2", "a/b/c/3", "ab/4", "b/5"):
        await storage.put(key, b"x", WEBP)
    assert sorted(await storage.keys("a/")) == ["a/1", "a/b/2", "a/b/c/3"]
    assert sorted(await storage.keys("a/b/")) == ["a/b/2", "a/b/c/3"]


async def test_more_keys_than_a_page_are_all_listed_and_deleted(storage: Storage) -> None:
    keys = [f"many/{number:04d}" for number in range(260)]
    await asyncio.gather(*(storage.put(key, b"x", WEBP) for key in keys))
    assert sorted(await storage.keys("many/")) == keys
    await storage.delete(keys)
    assert list(await storage.keys("many/")) == []


async def test_a_reader_never_sees_a_part(storage: Storage) -> None:
    old, new = b"o" * 2_000_000, b"n" * 2_000_000
    await storage.put("a/one", old, WEBP)

    async def write() -> None:
        for data in (new, old) * 3:
            await storage.put("a/one", data, WEBP)

    writing = asyncio.create_task(write())
    while not writing.done():
        assert await storage.get("a/one") in (old, new)
        assert list(await storage.keys("a/")) == ["a/one"]
    await writing


async def test_writers_of_one_key_at_once_leave_one_whole_object(storage: Storage) -> None:
    bodies = [bytes([number]) * 100_000 for number in range(20)]
    await asyncio.gather(*(storage.put("a/one", body, WEBP) for body in bodies))
    assert await storage.get("a/one") in bodies
    assert list(await storage.keys("a/")) == ["a/one"]


async def test_putting_and_deleting_in_one_folder_at_once_loses_nothing(storage: Storage) -> None:
    async def come_and_go(number: int) -> None:
        for _ in range(10):
            await storage.put(f"staging/job/{number}", b"x", WEBP)
            await storage.delete([f"staging/job/{number}"])
        await storage.put(f"staging/job/{number}", b"kept", WEBP)

    await asyncio.gather(*(come_and_go(number) for number in range(8)))
    assert sorted(await storage.keys("staging/job/")) == [f"staging/job/{number}" for number in range(8)]


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "../out", "a/../../out", "a/..", "./a", "a//b", "a/", "a b", "a\\b", "ä", "a\0b", "a\n"],
)
async def test_a_key_that_is_not_ours_is_refused(storage: Storage, key: str) -> None:
    with pytest.raises(StorageRefused):
        await storage.put(key, b"x", WEBP)
    with pytest.raises(StorageRefused):
        await storage.get(key)
    with pytest.raises(StorageRefused):
        await storage.exists(key)
    with pytest.raises(StorageRefused):
        await storage.delete([key])
    with pytest.raises(StorageRefused):
        await storage.url(key, timedelta(minutes=1))


async def test_a_folder_outside_is_not_listed(storage: Storage) -> None:
    with pytest.raises(StorageRefused):
        await storage.keys("../")


async def test_a_picture_of_20_megabytes_fits(storage: Storage) -> None:
    data = bytes(20_000_000)
    await storage.put("a/large", data, WEBP)
    assert await storage.get("a/large") == data


async def test_no_bytes_are_bytes_too(storage: Storage) -> None:
    await storage.put("a/empty", b"", WEBP)
    assert await storage.get("a/empty") == b""
    assert await storage.exists("a/empty")


async def test_bytes_that_look_like_a_form_come_back_as_they_were(storage: Storage) -> None:
    data = b'\r\n\r\n--boundary\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n--\r\n'
    await storage.put("a/form", data, WEBP)
    assert await storage.get("a/form") == data


async def test_an_object_may_be_named_like_a_folder_next_to_it(storage: Storage) -> None:
    await storage.put("a/1.webp", b"1", WEBP)
    await storage.put("a/1/2.webp", b"2", WEBP)
    await storage.delete(["a/1.webp"])
    assert list(await storage.keys("a/")) == ["a/1/2.webp"]


async def test_an_address_shows_the_object_to_whoever_has_it(storage: Storage) -> None:
    await storage.put("a/b/0-1.webp", b"picture", WEBP)
    url = await storage.url("a/b/0-1.webp", timedelta(minutes=1))
    if url is not None:
        async with httpx.AsyncClient() as stranger:
            answer = await stranger.get(url)
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"picture", WEBP)


async def test_what_is_not_there_has_no_address(storage: Storage) -> None:
    assert await storage.url("a/none", timedelta(minutes=1)) is None
    await storage.put("a/some", b"1", WEBP)
    assert await storage.url("a/none", timedelta(minutes=1)) is None
