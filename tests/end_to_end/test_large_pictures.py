"""A job of 60 pictures of 4K is exact, marked and priced by its size, though its worker is killed twice."""

import io
from typing import Any

import pytest
from PIL import Image

from darkroom.domain.formats import ImageFormat
from darkroom.proof.invariants import broken
from tests.support.readback import ALGORITHMIC, JOB, SOURCE_TYPE, xmp_of
from tests.support.stacks.process import OPENING_BALANCE, ProcessStack, running_darkroom
from tests.support.until import until

PICTURES = 60
LARGE = (5504, 3072)
LONG = 1500.0
"""Seconds: two cores draw and encode twenty pictures a minute when they have nothing else to do."""
OFFLINE = {"OFFLINE_SIZE": "1376x768", "OFFLINE_SEED": 5, "OFFLINE_MISS_RATE": 0.08, "TOP_UP_DELAY": 0.5}
STAGES: list[dict[str, Any]] = [
    {"prompt": f"as {made}", "quantity": PICTURES // 3, "image_size": "4K", "format": made}
    for made in (ImageFormat.WEBP, ImageFormat.JPEG, ImageFormat.PNG)
]


@pytest.mark.slow
@pytest.mark.timeout(2 * LONG)
async def test_a_job_of_large_pictures_whose_worker_is_killed_twice(tmp_path: Any) -> None:
    async with running_darkroom(tmp_path) as darkroom:
        job_id = await darkroom.submit({"stages": STAGES})
        price = darkroom.parts.settings.prices.k4
        assert price > darkroom.parts.settings.prices.k1
        for so_many in (PICTURES // 4, PICTURES // 2):
            await darkroom.worker.start(OFFLINE)

            async def in_the_middle(so_many: int = so_many) -> bool:
                in_progress = darkroom.records.outcomes(job_id, None)
                return bool(in_progress) and len(darkroom.records.delivered(job_id)) >= so_many

            await until(in_the_middle, "the middle of the job", LONG)
            await darkroom.worker.kill()
        await darkroom.worker.start(OFFLINE)
        receipt = await darkroom.receipt(job_id, LONG)

        assert receipt.delivered == PICTURES
        assert receipt.total.charged == PICTURES * price
        assert await darkroom.balance() == OPENING_BALANCE - PICTURES * price
        assert await darkroom.parts.records.audit() == []
        assert broken(await darkroom.records.dump()) == []
        assert await _look(darkroom) == {made.upper(): PICTURES // 3 for made in ("webp", "jpeg", "png")}


async def _look(darkroom: ProcessStack) -> dict[str, int]:
    """Look at each file: its size, its mark; how many there are by format."""
    found: dict[str, int] = {}
    for image in await darkroom.parts.records.delivered_images(None, 0, 1_000):
        data = await darkroom.parts.storage.get(image.path)
        assert data is not None, image.path
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.size == LARGE
            found[str(picture.format)] = found.get(str(picture.format), 0) + 1
        mark = xmp_of(data)
        assert mark[SOURCE_TYPE] == ALGORITHMIC
        assert mark[JOB]
    return found
