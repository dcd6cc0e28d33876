"""Archives over HTTP: as long as they say, the same each time, in parts, and of what was chosen."""

import csv
import io
import json
import zipfile
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from temporalio.client import Client

from tests.support.fakes.scripted import Act
from tests.support.stacks.api import ApiStack, running_api


def opened(answer: httpx.Response) -> zipfile.ZipFile:
    assert answer.status_code == 200, answer.text
    package = zipfile.ZipFile(io.BytesIO(answer.content))
    assert package.testzip() is None
    return package


async def ended_job(api: ApiStack) -> tuple[UUID, str]:
    job_id = await api.order(3, 2)
    await api.ended(job_id)
    return job_id, f"/api/jobs/{job_id}/archive.zip"


async def test_the_archive_of_an_ended_job_says_how_long_it_is_and_stays_the_same(
    temporal: Client, tmp_path: Path
) -> None:
    async with running_api(temporal, tmp_path) as api:
        _, path = await ended_job(api)
        head = await api.http.head(path)
        first, second = await api.http.get(path), await api.http.get(path)
        assert first.content == second.content
        assert "transfer-encoding" not in first.headers
        for answer in (head, first, second):
            assert answer.headers["content-length"] == str(len(first.content))
            assert answer.headers["etag"] == first.headers["etag"]
            assert answer.headers["accept-ranges"] == "bytes"
        assert (head.status_code, head.content) == (200, b"")


async def test_a_download_that_broke_off_goes_on(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path) as api:
        job_id, path = await ended_job(api)
        received = b""
        async with api.http.stream("GET", path) as answer:
            length, etag = int(answer.headers["content-length"]), answer.headers["etag"]
            async for part in answer.aiter_raw(512):
                received += part
                if len(received) >= length * 0.95:
                    break
        at = len(received)
        assert 0 < at < length
        rest = await api.http.get(path, headers={"Range": f"bytes={at}-", "If-Range": etag})
        assert rest.status_code == 206
        assert rest.headers["content-range"] == f"bytes {at}-{length - 1}/{length}"
        with zipfile.ZipFile(io.BytesIO(received + rest.content)) as package:
            assert package.testzip() is None
            assert len(package.namelist()) == 7
        images = await api.parts.records.delivered_images(job_id, 0, 1)
        await api.parts.storage.delete([images[0].path])
        whole = await api.http.get(path, headers={"Range": f"bytes={at}-", "If-Range": etag})
        assert (whole.status_code, "missing.txt" in opened(whole).namelist()) == (200, True)


async def test_parts_are_those_of_rfc_9110(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path) as api:
        _, path = await ended_job(api)
        whole = (await api.http.get(path)).content
        size = len(whole)
        parts = {"bytes=0-0": whole[:1], "bytes=-22": whole[-22:], f"bytes=7-{size * 9}": whole[7:]}
        parts[f"bytes=-{size * 9}"] = whole
        for asked, part in parts.items():
            answer = await api.http.get(path, headers={"Range": asked})
            assert (answer.status_code, answer.content) == (206, part), asked
            head = await api.http.head(path, headers={"Range": asked})
            assert (head.status_code, head.headers["content-length"]) == (206, str(len(part)))
        for asked in ("bytes=5-2", "bytes=-", "bytes=0-1,4-5", "pages=1-2", "bytes=a-b"):
            answer = await api.http.get(path, headers={"Range": asked})
            assert (answer.status_code, answer.content) == (200, whole), asked
        for asked in (f"bytes={size}-", "bytes=-0"):
            answer = await api.http.get(path, headers={"Range": asked})
            assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}"), asked
        for unlike in ('"other"', 'W/"x"', "Fri, 27 Nov 2026 10:00:00 GMT"):
            answer = await api.http.get(path, headers={"Range": "bytes=0-0", "If-Range": unlike})
            assert answer.status_code == 200


async def test_numbers_have_no_gaps_once_the_job_has_ended(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path) as api:
        api.provider.script = {(0, 1): [Act.MISS]}
        job_id, path = await ended_job(api)
        images = await api.parts.records.delivered_images(job_id, 0, 9)
        assert max(image.ordinal for image in images) == 3
        with opened(await api.http.get(path)) as package:
            assert package.namelist()[:3] == ["stage-1_001.webp", "stage-1_002.webp", "stage-1_003.webp"]
            third = package.read("stage-1_003.webp")
        [last] = [image for image in images if image.ordinal == 3]
        assert await api.parts.storage.get(last.path) == third


async def test_stages_and_pictures_can_be_chosen_and_keep_their_names(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path) as api:
        job_id, path = await ended_job(api)
        ids = {
            (one.stage_index, one.ordinal): one.attach_id
            for one in await api.parts.records.delivered_images(job_id, 0, 9)
        }
        with opened(await api.http.get(path, params={"stage": 1, "name": "{job}/{label} {n}"})) as package:
            folder = str(job_id)[:8]
            assert package.namelist()[:-2] == [f"{folder}/stage-2 1.webp", f"{folder}/stage-2 2.webp"]
        two = f"{ids[0, 2]},{ids[1, 1]}"
        with opened(await api.http.get(path, params={"pictures": two})) as package:
            assert package.namelist() == ["stage-1_003.webp", "stage-2_002.webp", "manifest.json", "manifest.csv"]
            told = json.loads(package.read("manifest.json"))
            rows = list(csv.DictReader(io.StringIO(package.read("manifest.csv").decode("utf-8-sig"))))
        assert [one["attach_id"] for one in told["pictures"]] == [ids[0, 2], ids[1, 1]]
        assert [(one["credits"], one["provider"]) for one in told["pictures"]] == [(20, "offline")] * 2
        assert [int(row["attach_id"]) for row in rows] == [ids[0, 2], ids[1, 1]]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"name": "../{n}"}, "name: leads outside the folder"),
        ({"name": "{who}_{n}"}, "name: unknown placeholder {who}"),
        ({"stage": "7"}, "stage: job"),
        ({"stage": "-1"}, "stage: "),
        ({"pictures": "999999"}, "pictures: 999999 is no delivered picture"),
        ({"pictures": "a"}, "pictures: 'a' is no attachment id"),
    ],
)
async def test_what_cannot_be_chosen_is_one_line(quiet: ApiStack, query: dict[str, str], says: str) -> None:
    job_id = await quiet.written({"stages": [{"prompt": "a lemon", "quantity": 2}]})
    for method in ("GET", "HEAD"):
        answer = await quiet.http.request(method, f"/api/jobs/{job_id}/archive.zip", params=query)
        assert answer.status_code == 400
        if method == "GET":
            assert answer.json()["detail"].startswith(says)
            assert "\n" not in answer.json()["detail"]
