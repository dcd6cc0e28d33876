"""An ended stage of thousands shows all of its pictures, and has only those near the screen in the page."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from playwright.async_api import Page, Request, expect

from darkroom.records.sqlite.database import stamp
from tests.support.browser.chromium import violations
from tests.support.stacks.api import ApiStack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

PICTURES = os.environ.get("PAGE_PICTURES")
"""A folder for what the page looked like, for whoever wants to see."""
MANY = 10_000
SCREEN = 800
MOUNTED = 400
"""Frames that may be in the page at a time: three screens of 800 pixels have about 150."""

SCROLL = """
async (pixels) => {
  const beats = [];
  const reached = {};
  const end = document.documentElement.scrollHeight - innerHeight;
  scrollTo(0, 0);
  await new Promise((go) => setTimeout(go, 500));
  let most = 0;
  await new Promise((done) => {
    const step = (now) => {
      beats.push(now);
      const frames = document.querySelectorAll("[data-frame]");
      most = Math.max(most, frames.length);
      for (const frame of frames) reached[frame.dataset.position] = frame.querySelector("img")?.alt;
      if (scrollY >= end - 1) return done();
      scrollBy(0, pixels);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  const gaps = beats.slice(1).map((beat, at) => beat - beats[at]).sort((a, b) => a - b);
  return { frames: gaps.length, seconds: (beats.at(-1) - beats[0]) / 1000, middle: gaps[gaps.length >> 1],
    late: gaps.filter((gap) => gap > 25).length, longest: gaps.at(-1), most, reached };
}
"""
"""Scroll through all of it by so many pixels a frame: how often the page was drawn, and which pictures it had."""


async def large(api: ApiStack, pictures: int) -> UUID:
    """An ended job of one stage with so many pictures, most of which exist in the records alone."""
    job_id = await api.order(3)
    await api.ended(job_id)
    await asyncio.to_thread(_grow, api.parts.settings.darkroom_home / "records.db", job_id, pictures)
    return job_id


def _grow(file: Path, job_id: UUID, pictures: int) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.row_factory = sqlite3.Row
        like = dict(
            db.execute("select * from quel_attach where job_id = ? order by ordinal desc", (str(job_id),)).fetchone()
        )
        del like["attach_id"]
        places = ", ".join("?" * len(like))
        # Not in the order of their ordinals: pictures are delivered as they are ready.
        for place, ordinal in enumerate(_as_delivered(3, pictures)):
            delivered = datetime.now(UTC) + timedelta(milliseconds=place)
            row = {**like, "ordinal": ordinal, "delivered_at": stamp(delivered)}
            db.execute(f"insert into quel_attach ({', '.join(row)}) values ({places})", tuple(row.values()))
        job = (pictures, pictures, str(job_id))
        db.execute(
            "update quel_job_stages set quantity = ?, delivered_images = ?, target = quantity where job_id = ?", job
        )
        db.execute("update quel_production_jobs set total_images = ?, completed_images = ? where job_id = ?", job)


def _as_delivered(first: int, end: int) -> Iterator[int]:
    for begin in range(first, end, 24):
        yield from reversed(range(begin, min(begin + 24, end)))


async def shown(page: Page, api: ApiStack, pictures: int) -> None:
    """Look at a large stage until all of its pictures are known."""
    await page.goto(f"/jobs/{await large(api, pictures)}")
    await expect(page.locator("[data-stage='0']")).to_contain_text("showing all", timeout=60_000)
    await expect(page.locator("[data-frame]").first).to_have_attribute("aria-setsize", str(pictures))
    await page.wait_for_load_state("networkidle")


@pytest.mark.slow
async def test_ten_thousand_pictures_are_all_reached_with_few_frames_and_few_thumbnails(
    page: Page, api: ApiStack
) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/thumbnail" in request.url:
            asked.append(request.url)

    page.on("request", note)
    await shown(page, api, MANY)
    first_screen = len(asked)
    assert first_screen <= MOUNTED
    # A screen a frame: whatever the machine does, nobody could look at that.
    found = await page.evaluate(SCROLL, SCREEN)
    assert found["most"] <= MOUNTED
    assert found["reached"] == {str(position): f"Picture {position}" for position in range(MANY)}, "each at its place"
    last = page.locator(f"[data-position='{MANY - 1}'] img")
    await expect(last).to_have_js_property("complete", value=True)
    await page.wait_for_function(f"() => document.querySelector(\"[data-position='{MANY - 1}'] img\").naturalWidth > 0")
    await page.wait_for_load_state("networkidle")
    assert len(asked) <= first_screen + 2 * MOUNTED, "what rushes by is not fetched"


@pytest.mark.slow
async def test_ten_thousand_pictures_scroll_like_a_few(page: Page, api: ApiStack) -> None:
    tools = await page.context.new_cdp_session(page)
    await tools.send("Performance.enable")

    async def processor_time() -> float:
        """Seconds that the page's main thread has worked: other processes do not count, and waiting does not."""
        metrics = (await tools.send("Performance.getMetrics"))["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "ThreadTime"))

    each: dict[int, float] = {}
    for pictures in (300, MANY):
        await shown(page, api, pictures)
        before = await processor_time()
        found = await page.evaluate(SCROLL, 60)
        each[pictures] = 1000 * (await processor_time() - before) / found["frames"]
        del found["reached"]
        rate = found["frames"] / found["seconds"]
        print(f"{pictures}: {rate:.1f} frames a second, {each[pictures]:.1f} ms of work for each: {found}")  # noqa: T201
        assert found["most"] <= MOUNTED
    assert each[MANY] < 3 * each[300]


@pytest.mark.slow
async def test_the_place_is_kept_over_the_light_table_and_a_reload(page: Page, api: ApiStack) -> None:
    await shown(page, api, 2_000)
    first = page.locator("[data-position='0'] a")
    await first.focus()
    await page.keyboard.press("End")
    await expect(page.locator("[data-position='1999'] a")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowLeft")
    position = int(await page.evaluate("document.activeElement.closest('[data-frame]').dataset.position"))
    assert 1980 < position < 1999
    await page.keyboard.press("Enter")
    table = page.locator("[data-lighttable]")
    await expect(table).to_contain_text(f"{position + 1:,} of 2,000")
    for _ in range(position - 1970):
        await page.keyboard.press("ArrowLeft")
    await expect(table).to_contain_text("1,971 of 2,000")
    await page.keyboard.press("Escape")
    await expect(page.locator("[data-position='1970'] a")).to_be_focused()
    await expect(page.locator("[data-position='1970'] img")).to_be_in_viewport()
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / "gallery.png")
    top = await page.evaluate("scrollY")
    await page.reload()
    await expect(page.locator("[data-position='1970'] img")).to_be_in_viewport()
    assert abs(await page.evaluate("scrollY") - top) <= 2
    assert await violations(page) == []
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    await expect(page.locator("[data-position='1999'] img")).to_be_in_viewport()
    assert await page.locator("[data-frame]").count() <= MOUNTED


@pytest.mark.slow
async def test_a_stage_that_is_still_made_shows_its_newest_until_somebody_wants_all(
    page: Page, pictures: ApiStack
) -> None:
    job_id = await pictures.order(260)
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator("[data-stage='0']")).to_contain_text("no pictures yet")
    pictures.provider.gate.set()
    await expect(page.locator("[data-frame]")).to_have_count(60, timeout=60_000)
    await pictures.ended(job_id, 120)
    await expect(page.locator("[data-stage='0']")).to_contain_text("showing all", timeout=30_000)
    await expect(page.locator("[data-frame]").first).to_have_attribute("aria-setsize", "260")
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    await expect(page.locator("[data-position='259'] img")).to_be_in_viewport()
