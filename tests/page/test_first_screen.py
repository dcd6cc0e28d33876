"""How soon the first screen of a job is there that nobody has looked at yet."""

import asyncio
import io
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image
from playwright.async_api import Browser
from temporalio.client import Client

from darkroom.domain.images import Generated, ImageRequest, ProviderAnswer
from darkroom.domain.names import thumbnail_key
from tests.support.fakes.scripted import ScriptedProvider
from tests.support.stacks.api import running_api

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600), pytest.mark.slow]

PICTURES = 600
SHOWN = """
() => {
  const inSight = [...document.querySelectorAll("[data-frame] img")].filter((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return top < innerHeight && bottom > 0;
  });
  if (inSight.length < 15 || !inSight.every((one) => one.naturalWidth)) return null;
  return performance.now();
}
"""
"""Milliseconds since the page was asked for, once all pictures in sight are there."""


class Real(ScriptedProvider):
    """Draws one picture of the size that providers draw."""

    def __init__(self) -> None:
        super().__init__()
        target = io.BytesIO()
        noise = Image.effect_noise((172, 96), 80).resize((1376, 768), Image.Resampling.BICUBIC)
        Image.merge("RGB", (noise, noise.rotate(180), noise)).save(target, "JPEG", quality=95)
        self._data = target.getvalue()

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        return Generated(data=self._data)


def multiply(home: Path, job_id: UUID) -> None:
    """Give the job so many pictures, each with its files."""
    with closing(sqlite3.connect(home / "records.db")) as db, db:
        db.row_factory = sqlite3.Row
        like = dict(db.execute("select * from quel_attach where job_id = ?", (str(job_id),)).fetchone())
        del like["attach_id"]
        path = like["attach_file_path"]
        places = ", ".join("?" * len(like))
        for ordinal in range(1, PICTURES):
            copy = path.replace("/0-0-", f"/0-{ordinal}-")
            for file, other in ((path, copy), (thumbnail_key(path), thumbnail_key(copy))):
                shutil.copy(home / "files" / str(file), home / "files" / str(other))
            row = {**like, "ordinal": ordinal, "attach_file_path": copy}
            db.execute(f"insert into quel_attach ({', '.join(row)}) values ({places})", tuple(row.values()))
        job = (PICTURES, PICTURES, str(job_id))
        db.execute(
            "update quel_job_stages set quantity = ?, delivered_images = ?, target = quantity where job_id = ?", job
        )
        db.execute("update quel_production_jobs set total_images = ?, completed_images = ? where job_id = ?", job)


async def seconds_to_first_screen(browser: Browser, temporal: Client, home: Path, job_id: UUID) -> float:
    """In a browser and an API that have seen nothing yet."""
    async with running_api(temporal, home, workers=False) as api:
        context = await browser.new_context(base_url=api.url, viewport={"width": 1280, "height": 800})
        page = await context.new_page()
        # The process is warm, the job is not: its own start is no part of what is measured.
        await page.goto("/jobs")
        await page.goto(f"/jobs/{job_id}", wait_until="commit")
        shown = await page.wait_for_function(SHOWN, timeout=120_000, polling="raf")
        milliseconds: float = await shown.json_value()
        await context.close()
    return milliseconds / 1000


async def test_the_first_screen_of_a_cold_job_reads_thumbnails_and_decodes_no_picture(
    browser: Browser, temporal: Client, tmp_path: Path
) -> None:
    async with running_api(temporal, tmp_path, provider=Real()) as api:
        job_id = await api.order(1)
        await api.ended(job_id)
    await asyncio.to_thread(multiply, tmp_path, job_id)
    kept = [await seconds_to_first_screen(browser, temporal, tmp_path, job_id) for _ in range(3)]
    shutil.rmtree(tmp_path / "files" / "thumbnails")
    made = [await seconds_to_first_screen(browser, temporal, tmp_path, job_id) for _ in range(3)]
    print(f"first screen of {PICTURES} pictures: kept {sorted(kept)}, made on demand {sorted(made)}")  # noqa: T201
    assert sorted(kept)[1] < sorted(made)[1], "reading must be quicker than decoding"
