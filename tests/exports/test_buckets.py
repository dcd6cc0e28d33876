"""Pictures are taken to a bucket of S3: each object once, going on where it was, and nothing without permission."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from darkroom.domain.errors import ExportRejected
from darkroom.exports.buckets import Bucket
from darkroom.exports.taking import Taken, take
from darkroom.pictures import digest
from darkroom.storage.files import FileStorage
from tests.exports.test_archive import stored
from tests.support.object_store import ObjectStore, object_store

ALLOWED = ("s3:ListBucket", "s3:GetObject", "s3:PutObject")


@pytest.fixture(scope="module")
def whole_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("s3") / "log", *ALLOWED) as running:
        yield running


@pytest.fixture
def store(whole_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    for name, value in whole_store.environment.items():
        monkeypatch.setenv(name, value)
    return whole_store


def objects(store: ObjectStore, prefix: str) -> dict[str, str]:
    """When each was last written, by name."""
    listed = store.client("s3").list_objects_v2(Bucket=store.bucket, Prefix=prefix)
    return {one["Key"].removeprefix(prefix): str(one["LastModified"]) for one in listed.get("Contents", ())}


def body(store: ObjectStore, key: str) -> bytes:
    read: bytes = store.client("s3").get_object(Bucket=store.bucket, Key=key)["Body"].read()
    return read


async def test_each_picture_is_one_object_and_a_second_copy_goes_on(store: ObjectStore, tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    export = await stored(storage, [b"one", b"two", b"three"])
    url = f"s3://{store.bucket}/first/spring"
    part = export.model_copy(update={"pictures": export.pictures[:1]})
    assert await take(part, storage, Bucket.at(url)) == Taken(written=1)
    before = await asyncio.to_thread(objects, store, "first/spring/")
    assert sorted(before) == ["größe_0.webp", "manifest.csv", "manifest.json"]
    assert await take(export, storage, Bucket.at(f"{url}/")) == Taken(written=2, skipped=1)
    after = await asyncio.to_thread(objects, store, "first/spring/")
    assert after["größe_0.webp"] == before["größe_0.webp"]
    assert await take(export, storage, Bucket.at(url)) == Taken(skipped=3)
    for one, data in zip(export.pictures, (b"one", b"two", b"three"), strict=True):
        assert await asyncio.to_thread(body, store, f"first/spring/{one.name}") == data
    manifest = json.loads(await asyncio.to_thread(body, store, "first/spring/manifest.json"))
    assert [one["sha256"] for one in manifest["pictures"]] == [digest(data) for data in (b"one", b"two", b"three")]


async def test_what_is_there_is_never_overwritten(store: ObjectStore, tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    export = await stored(storage, [b"one", b"two"])
    client = store.client("s3")
    await asyncio.to_thread(client.put_object, Bucket=store.bucket, Key="theirs/größe_1.webp", Body=b"owt")
    with pytest.raises(ExportRejected, match=r"größe_1.webp already exists and is a different picture"):
        await take(export, storage, Bucket.at(f"s3://{store.bucket}/theirs"))
    assert sorted(await asyncio.to_thread(objects, store, "theirs/")) == ["größe_1.webp"]
    assert await asyncio.to_thread(body, store, "theirs/größe_1.webp") == b"owt"
    await asyncio.to_thread(client.put_object, Bucket=store.bucket, Key="other/manifest.json", Body=b"{}")
    with pytest.raises(ExportRejected, match=r"manifest.json that is not of this job"):
        await take(export, storage, Bucket.at(f"s3://{store.bucket}/other"))
    # Without our metadata, the bytes tell.
    await asyncio.to_thread(client.put_object, Bucket=store.bucket, Key="same/größe_1.webp", Body=b"two")
    assert await take(export, storage, Bucket.at(f"s3://{store.bucket}/same")) == Taken(written=1, skipped=1)


async def test_an_object_that_comes_meanwhile_is_not_overwritten(store: ObjectStore) -> None:
    bucket = Bucket.at(f"s3://{store.bucket}/meanwhile")
    await bucket.open(UUID(int=1))
    client = store.client("s3")
    await asyncio.to_thread(client.put_object, Bucket=store.bucket, Key="meanwhile/a.webp", Body=b"theirs")
    with pytest.raises(ExportRejected, match="is a different picture"):
        await bucket.write("a.webp", b"ours", digest(b"ours"))
    assert await asyncio.to_thread(body, store, "meanwhile/a.webp") == b"theirs"
    await bucket.write("a.webp", b"theirs", digest(b"theirs"))


@pytest.mark.parametrize("allowed", [(), ("s3:ListBucket", "s3:GetObject")])
async def test_without_permission_it_is_one_line_and_nothing_is_written(
    allowed: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileStorage(tmp_path / "files")
    export = await stored(storage, [b"one", b"two"])
    with object_store(tmp_path / "log", *(allowed or ("s3:CreateBucket",))) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ExportRejected, match=r"^--to: s3://pictures/a: \w+ is not permitted: ") as refused:
            await take(export, storage, Bucket.at("s3://pictures/a"))
        assert len(str(refused.value).splitlines()) == 1
        if allowed:
            assert await asyncio.to_thread(objects, store, "") == {}


async def test_a_bucket_that_is_not_there_and_a_server_that_does_not_answer_are_one_line(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileStorage(tmp_path)
    export = await stored(storage, [b"one"])
    with pytest.raises(ExportRejected, match=r"^--to: s3://no-such-bucket/a: ") as refused:
        await take(export, storage, Bucket.at("s3://no-such-bucket/a"))
    assert len(str(refused.value).splitlines()) == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ExportRejected, match=r"^--to: s3://pictures/a: listing failed: ") as refused:
        await take(export, storage, Bucket.at("s3://pictures/a"))
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("url", ["", "s3://", "pictures", "file:///tmp/x", "http://a/b", "s3://a/../b"])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(ExportRejected, match=r"^--to: "):
        Bucket.at(url)
