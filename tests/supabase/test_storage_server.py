"""The local Storage server behaves as the real one (supabase.md, "Storage"), seen through the real client."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError
from storage3.types import FileOptions

from tests.support.supabase.storage_server import KEY, StorageServer, running_storage

BUCKET = "pictures"
WEBP: FileOptions = {"content-type": "image/webp", "upsert": "true"}
SECRET = "a-secret-of-at-least-thirty-two-bytes"

Open = Callable[[str], AsyncStorageClient]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StorageServer]:
    with running_storage(tmp_path, jwt_secret=SECRET) as running:
        yield running


@pytest.fixture
async def with_key(server: StorageServer) -> AsyncIterator[Open]:
    """Opens a client with any key."""
    async with httpx.AsyncClient(timeout=5, verify=False) as http:

        def client(key: str) -> AsyncStorageClient:
            headers = {"apikey": key, "Authorization": f"Bearer {key}"}
            return AsyncStorageClient(f"{server.url}/storage/v1/", headers, http_client=http)

        yield client


@pytest.fixture
async def client(with_key: Open) -> AsyncStorageClient:
    """With a bucket and the right key."""
    opened = with_key(KEY)
    await opened.create_bucket(BUCKET)
    return opened


async def refusal(call: Awaitable[object]) -> tuple[str, str]:
    """Status and code of the error that a call ends with."""
    with pytest.raises(StorageApiError) as caught:
        await call
    return str(caught.value.status), caught.value.code


def token(role: str, secret: str = SECRET, seconds: int = 60) -> str:
    return jwt.encode({"role": role, "exp": int(time.time()) + seconds}, secret, "HS256")


async def test_what_was_uploaded_is_downloaded_with_its_media_type(
    client: AsyncStorageClient, server: StorageServer
) -> None:
    uploaded = await client.from_(BUCKET).upload("a/b.webp", b"picture", WEBP)
    assert uploaded.full_path == f"{BUCKET}/a/b.webp"
    assert await client.from_(BUCKET).download("a/b.webp") == b"picture"
    assert (await client.from_(BUCKET).info("a/b.webp"))["content_type"] == "image/webp"
    assert await client.from_(BUCKET).exists("a/b.webp")


async def test_an_upload_without_a_media_type_is_text(client: AsyncStorageClient) -> None:
    await client.from_(BUCKET).upload("a", b"picture")
    assert (await client.from_(BUCKET).info("a"))["content_type"].startswith("text/plain")


async def test_an_upload_over_another_needs_upsert(client: AsyncStorageClient) -> None:
    bucket = client.from_(BUCKET)
    await bucket.upload("a", b"first")
    assert await refusal(bucket.upload("a", b"second")) == ("409", "Duplicate")
    await bucket.upload("a", b"second", {"upsert": "true"})
    await bucket.update("a", b"third")
    assert await bucket.download("a") == b"third"
    assert await refusal(bucket.update("none", b"x")) == ("404", "not_found")


async def test_what_is_missing_is_not_found_with_http_status_400(
    client: AsyncStorageClient, server: StorageServer
) -> None:
    bucket = client.from_(BUCKET)
    for call in (bucket.download("none"), bucket.info("none"), bucket.create_signed_url("none", 60)):
        assert await refusal(call) == ("404", "not_found")
    assert await refusal(bucket.move("none", "b")) == ("404", "not_found")
    assert not await bucket.exists("none")
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as plain:
        answer = await plain.get(f"{server.url}/object/{BUCKET}/none")
    assert answer.status_code == 400
    assert answer.json() == {"statusCode": "404", "error": "not_found", "message": "Object not found"}


async def test_a_missing_bucket_is_said_by_what_needs_it(with_key: Open) -> None:
    client = with_key(KEY)
    bucket = client.from_("none")
    for call in (bucket.upload("a", b"x"), bucket.download("a"), client.get_bucket("none")):
        assert await refusal(call) == ("404", "Bucket not found")
    assert await bucket.list("a") == []
    assert await bucket.remove(["a"]) == []


@pytest.mark.parametrize("wrong", ["no-token", token("service_role", "another-secret-of-thirty-two-bytes"), "a.b.c"])
async def test_a_wrong_key_is_unauthorized_and_a_download_says_there_is_no_bucket(
    client: AsyncStorageClient, with_key: Open, wrong: str
) -> None:
    await client.from_(BUCKET).upload("a", b"x")
    stranger = with_key(wrong)
    bucket = stranger.from_(BUCKET)
    for call in (
        bucket.upload("a", b"x", {"upsert": "true"}),
        bucket.info("a"),
        bucket.list("a"),
        bucket.remove(["a"]),
        bucket.create_signed_url("a", 60),
        stranger.get_bucket(BUCKET),
        stranger.create_bucket("other"),
    ):
        assert await refusal(call) == ("403", "Unauthorized")
    assert await refusal(bucket.download("a")) == ("404", "Bucket not found")


async def test_tokens_of_the_service_role_are_right_until_they_expire(
    client: AsyncStorageClient, with_key: Open
) -> None:
    await client.from_(BUCKET).upload("a", b"x")
    assert await with_key(token("service_role")).from_(BUCKET).download("a") == b"x"
    expired = with_key(token("service_role", seconds=-1))
    assert await refusal(expired.from_(BUCKET).info("a")) == ("403", "Unauthorized")


async def test_another_role_sees_nothing_and_writes_nothing(client: AsyncStorageClient, with_key: Open) -> None:
    await client.from_(BUCKET).upload("a", b"x")
    bucket = with_key(token("anon")).from_(BUCKET)
    assert await bucket.list() == []
    assert await refusal(bucket.download("a")) == ("404", "not_found")
    assert await refusal(bucket.upload("b", b"x")) == ("403", "Unauthorized")
    assert await bucket.remove(["a"]) == []
    assert await client.from_(BUCKET).exists("a")


@pytest.mark.parametrize("character", [*'#%[]~|\\"', "ä", "\n"])
async def test_a_key_with_bad_characters_is_refused(client: AsyncStorageClient, character: str) -> None:
    assert await refusal(client.from_(BUCKET).upload(f"a{character}b", b"x")) == ("400", "InvalidKey")


async def test_the_client_refuses_dots_itself(client: AsyncStorageClient) -> None:
    for key in ("../a", "a/../b", "./a"):
        with pytest.raises(ValueError, match="dot segments"):
            await client.from_(BUCKET).upload(key, b"x")


async def test_too_large_and_media_types_not_allowed_are_refused(client: AsyncStorageClient) -> None:
    await client.create_bucket("small", options={"file_size_limit": 10, "allowed_mime_types": ["image/*"]})
    bucket = client.from_("small")
    assert await refusal(bucket.upload("a", bytes(11), {"content-type": "image/webp"})) == ("413", "Payload too large")
    assert await refusal(bucket.upload("a", b"x", {"content-type": "text/plain"})) == ("415", "invalid_mime_type")
    await bucket.upload("a", bytes(10), {"content-type": "image/webp"})
    await client.update_bucket("small", {"allowed_mime_types": ["text/plain"]})
    await bucket.upload("b", b"x", {"content-type": "text/plain"})


async def test_a_list_is_one_level_of_at_most_a_hundred_and_folders_have_no_id(client: AsyncStorageClient) -> None:
    bucket = client.from_(BUCKET)
    for number in range(120):
        await bucket.upload(f"a/{number:03}", b"x")
    await bucket.upload("a/z/1", b"x")
    await bucket.upload("ab", b"x")
    first = await bucket.list("a")
    assert len(first) == 100
    assert [(entry["name"], entry["id"] is None) for entry in first[:2]] == [("z", True), ("000", False)]
    rest = await bucket.list("a", {"limit": 1000, "offset": 100})
    assert [entry["name"] for entry in rest] == [f"{number:03}" for number in range(99, 120)]
    assert [entry["name"] for entry in await bucket.list()] == ["a", "ab"]
    assert [entry["name"] for entry in await bucket.list("a", {"search": "01", "limit": 3})] == ["010", "011", "012"]
    assert await bucket.list("none") == []


async def test_remove_takes_keys_literally_and_not_none_of_them(client: AsyncStorageClient) -> None:
    bucket = client.from_(BUCKET)
    await bucket.upload("a/b", b"x")
    assert await bucket.remove(["a//b", "a", "none"]) == []
    assert [entry["name"] for entry in await bucket.remove(["a/b"])] == ["a/b"]
    assert (await refusal(bucket.remove([])))[0] == "400"


async def test_objects_are_moved_and_copied(client: AsyncStorageClient) -> None:
    bucket = client.from_(BUCKET)
    await bucket.upload("a", b"x", WEBP)
    await bucket.copy("a", "b/c")
    await bucket.move("a", "d")
    assert [entry["name"] for entry in await bucket.list()] == ["b", "d"]
    assert (await bucket.info("b/c"))["content_type"] == "image/webp"
    assert await refusal(bucket.copy("d", "b/c")) == ("409", "Duplicate")
    assert await refusal(bucket.move("d", "ä")) == ("400", "InvalidKey")


async def test_a_signed_address_needs_no_key_and_shows_one_object(client: AsyncStorageClient) -> None:
    bucket = client.from_(BUCKET)
    await bucket.upload("a/1", b"one", WEBP)
    await bucket.upload("a/2", b"two", WEBP)
    url = (await bucket.create_signed_url("a/1", 60))["signedUrl"]
    assert url is not None
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(url)).content == b"one"
        of_another = await stranger.get(url.replace("a/1", "a/2"))
        assert (of_another.status_code, of_another.json()["error"]) == (400, "InvalidSignature")
        forged = await stranger.get(url[:-4] + "AAAA")
        assert (forged.status_code, forged.json()["error"]) == (400, "InvalidJWT")


async def test_a_signed_address_expires(server: StorageServer, client: AsyncStorageClient) -> None:
    await client.from_(BUCKET).upload("a", b"x")
    past = int(time.time()) - 1
    expired = jwt.encode({"url": f"{BUCKET}/a", "iat": past - 60, "exp": past}, SECRET, "HS256")
    async with httpx.AsyncClient() as stranger:
        answer = await stranger.get(f"{server.url}/object/sign/{BUCKET}/a", params={"token": expired})
    assert (answer.status_code, answer.json()["error"]) == (400, "InvalidJWT")
    assert (await refusal(client.from_(BUCKET).create_signed_url("a", 0)))[0] == "400"


async def test_only_a_public_bucket_is_open_to_all(client: AsyncStorageClient) -> None:
    bucket = client.from_(BUCKET)
    await bucket.upload("a", b"x")
    url = await bucket.get_public_url("a")
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(url)).json()["error"] == "Bucket not found"
        await client.update_bucket(BUCKET, {"public": True})
        assert (await stranger.get(url)).content == b"x"


async def test_buckets_are_made_once_private_unless_asked_and_listed(client: AsyncStorageClient) -> None:
    assert await refusal(client.create_bucket(BUCKET)) == ("409", "Duplicate")
    assert (await client.get_bucket(BUCKET)).public is False
    await client.create_bucket("open", options={"public": True})
    assert {bucket.id: bucket.public for bucket in await client.list_buckets()} == {BUCKET: False, "open": True}
    assert await refusal(client.create_bucket("a/b")) == ("400", "Invalid Input")


async def test_objects_outlive_the_server(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(headers=headers) as http:
        with running_storage(tmp_path) as server:
            await http.post(f"{server.url}/bucket", json={"id": BUCKET})
            await http.post(f"{server.url}/object/{BUCKET}/a", content=b"x", headers={"content-type": "image/webp"})
        with running_storage(tmp_path) as server:
            answer = await http.get(f"{server.url}/object/{BUCKET}/a")
        assert (answer.content, answer.headers["content-type"]) == (b"x", "image/webp")


async def test_large_objects_come_back_whole(client: AsyncStorageClient) -> None:
    data = bytes(range(256)) * 80_000
    await client.from_(BUCKET).upload("a", data, WEBP)
    assert await client.from_(BUCKET).download("a") == data
