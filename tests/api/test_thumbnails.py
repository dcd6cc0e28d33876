"""Thumbnails are made where a picture is decoded anyway, and kept; what has none is decoded when somebody looks."""

import io
from typing import Any
from uuid import UUID

import pytest
from PIL import Image

from darkroom.domain.names import image_prefix, thumbnail_key
from darkroom.domain.stored import DeliveredImage
from tests.support.stacks.api import ApiStack

FORMATS = ("webp", "jpeg", "png", "avif", "original")


async def delivered(api: ApiStack, job_id: UUID) -> list[DeliveredImage]:
    await api.ended(job_id)
    return list(await api.parts.records.delivered_images(job_id, 0, 99))


def key_of(image: DeliveredImage) -> str:
    key = thumbnail_key(image.path)
    assert key is not None
    return key


async def shown(api: ApiStack, image: DeliveredImage) -> Any:
    return await api.http.get(api.services.addresses.thumbnail(image.attach_id))


async def test_every_format_has_its_thumbnail_from_the_upload(api: ApiStack) -> None:
    stages = [{"prompt": f"a {one}", "quantity": 1, "format": one} for one in FORMATS]
    answer = await api.http.post("/api/jobs", json={"stages": stages})
    images = await delivered(api, UUID(answer.json()["job_id"]))
    assert len(images) == len(FORMATS)
    for image in images:
        kept = await api.parts.storage.get(key_of(image))
        assert kept is not None
        with Image.open(io.BytesIO(kept)) as picture:
            assert (picture.format, picture.size) == ("WEBP", (8, 8))
        # What is shown is that file: the picture itself is not even there.
        await api.parts.storage.delete([image.path])
        answer = await shown(api, image)
        assert (answer.status_code, answer.content) == (200, kept)


async def test_a_picture_without_one_gets_it_when_somebody_looks(api: ApiStack) -> None:
    [image] = await delivered(api, await api.order(1))
    await api.parts.storage.delete([key_of(image)])
    answer = await shown(api, image)
    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (8, 8))


async def test_no_picture_is_lost_for_want_of_a_thumbnail(api: ApiStack) -> None:
    (api.parts.settings.darkroom_home / "files").mkdir(exist_ok=True)
    (api.parts.settings.darkroom_home / "files" / "thumbnails").write_text("no folder")
    images = await delivered(api, await api.order(3))
    assert sorted(image.ordinal for image in images) == [0, 1, 2]
    assert (await shown(api, images[0])).status_code == 200


@pytest.mark.parametrize("path", ["uploads/user-x/a.png", "", "generated.webp"])
def test_only_pictures_of_our_jobs_have_one(path: str) -> None:
    assert thumbnail_key(path) is None


def test_a_thumbnail_lies_beside_those_of_its_job() -> None:
    job, user = UUID(int=1), UUID(int=2)
    path = f"{image_prefix(job, user)}0-12-5f0c9a1e.original.png"
    assert thumbnail_key(path) == f"thumbnails/user-{user}/job-{job}/0-12-5f0c9a1e.original.webp"
