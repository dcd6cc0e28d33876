"""Orders of many stages, up to a thousand: ordered on the page, watched there, and steered while they run."""

import os
import time
from pathlib import Path
from uuid import UUID

import pytest
from playwright.async_api import Page, expect

from tests.support.browser.chromium import violations
from tests.support.fakes.scripted import Act
from tests.support.stacks.api import ApiStack
from tests.support.until import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1_800)]

PICTURES = os.environ.get("PAGE_PICTURES")
"""A folder for what the page looked like, for whoever wants to see."""


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png")


WATCH_LONG_TASKS = """
window.long = [];
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) window.long.push(Math.round(one.duration));
}).observe({ type: "longtask", buffered: true });
"""
"""Script, style and layout that keep the page from answering for more than 50 ms."""
LONGEST = 1_500
"""Milliseconds, on a machine that does much else."""


async def order_table(page: Page, stages: int, quantity: int) -> UUID:
    """Order a stage per row of a table by the form; gives the job that the page then shows."""
    await page.goto("/")
    table = "number\n" + "\n".join(str(number) for number in range(stages))
    chosen = {"name": "many.csv", "mimeType": "text/csv", "buffer": table.encode()}
    await page.locator("#table-file").set_input_files(chosen)  # type: ignore[arg-type]  # a FilePayload
    await page.get_by_label("Prompt").fill("Number {number}")
    await page.get_by_label("Pictures per stage").fill(str(quantity))
    total = stages * quantity
    await expect(page.locator("[data-sum]")).to_have_text(f"{total:,} pictures, {total * 20:,} credits")
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*", timeout=60_000)
    return UUID(page.url.rpartition("/")[2])


async def long_tasks(page: Page, doing: str) -> None:
    """What was too long since it was asked for last; more than a moment is a fault."""
    found: list[int] = await page.evaluate("() => window.long.splice(0)")
    print(f"{doing}: {len(found)} long tasks of {sum(found)} ms")  # noqa: T201 - a figure
    assert max(found, default=0) < LONGEST, f"{doing}: {found}"


@pytest.mark.parametrize(
    ("stages", "quantity"),
    [(24, 1), pytest.param(100, 2, marks=pytest.mark.slow), pytest.param(1_000, 4, marks=pytest.mark.slow)],
)
async def test_many_stages_are_ordered_watched_and_steered(
    page: Page, pictures: ApiStack, stages: int, quantity: int
) -> None:
    total = stages * quantity
    pictures.provider.script = {(1, 0): [Act.MISS]}
    await page.add_init_script(WATCH_LONG_TASKS)
    job_id = await order_table(page, stages, quantity)
    await expect(page.locator("[data-stage]")).to_have_count(stages, timeout=60_000)
    await expect(page.locator("[data-frame]")).to_have_count(total)
    await pictures.provider.until_calls(min(total, 24))
    await expect(page.locator("[data-count]")).to_have_text(f"0 of {total:,}")
    await long_tasks(page, f"{stages} stages are shown")

    began = time.monotonic()
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=60_000)
    last = page.locator(f"[data-stage='{stages - 1}']")
    await last.scroll_into_view_if_needed()
    await expect(last).to_contain_text(f"Number {stages - 1}")
    await expect(last).to_contain_text(f"0 of {quantity}")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=60_000)
    pictures.provider.gate.set()
    await long_tasks(page, f"paused and resumed in {time.monotonic() - began:.1f} s")

    async def all_of_them() -> bool:
        row = await pictures.parts.records.job(job_id)
        return row is not None and row.completed_images == total

    await until(all_of_them, "all pictures", 1_500)
    await expect(page.locator("[data-count]")).to_have_text(f"{total:,} of {total:,}", timeout=60_000)
    await expect(last.locator("[data-state='delivered']")).to_have_count(quantity)
    await expect(page.locator("[data-stage='1']")).to_contain_text("1 top-up")
    await long_tasks(page, f"{total} pictures arrived in {time.monotonic() - began:.0f} s")

    await pictures.ended(job_id, 60)
    await page.reload()
    await expect(page.locator("[data-state='delivered']")).to_have_count(total)
    await long_tasks(page, "the ended job is shown")
    if stages <= 100:
        assert await violations(page) == []


@pytest.mark.slow
async def test_many_strips_show_a_row_each_and_unfold_one_by_one(page: Page, pictures: ApiStack) -> None:
    pictures.provider.gate.set()
    job_id = await pictures.order(*[30] * 11, 3)
    await page.goto(f"/jobs/{job_id}")
    await pictures.ended(job_id, 120)
    strips = page.locator("[data-stage]")
    await expect(strips).to_have_count(12)
    await expect(page.locator("[data-count]")).to_have_text("333 of 333", timeout=30_000)
    await expect(page.locator("[data-folded]")).to_have_count(11)
    row = "all => all.filter(one => one.offsetTop === all[0].offsetTop).length"
    for reload in (False, True):
        if reload:
            await page.reload()
        first = strips.first
        frames = first.locator("[data-frame]")
        await expect(frames).to_have_count(16)
        in_row = await frames.evaluate_all(row)
        assert 2 <= in_row < 16
        box = await first.bounding_box()
        assert box is not None
        assert box["height"] < 190, "one row"
        await frames.first.locator("a").focus()
        await page.keyboard.press("End")
        await expect(frames.nth(in_row - 1).locator("a")).to_be_focused()
        await page.keyboard.press("ArrowDown")
        await expect(strips.nth(1).locator("a:focus")).to_have_count(1)
        unfold = first.get_by_role("button", name="Show 30")
        await expect(unfold).to_have_attribute("aria-expanded", "false")
        await unfold.click()
        await expect(frames).to_have_count(30)
        await expect(first.locator("[data-state='delivered']")).to_have_count(30)
        await expect(page.locator("[data-folded]")).to_have_count(10)
        await first.get_by_role("button", name="Show first row").click()
        await expect(frames).to_have_count(16)
    await expect(strips.last.get_by_role("button")).to_have_count(0)
    await picture(page, "folded")
    assert await violations(page) == []


@pytest.mark.slow
async def test_a_list_leads_to_any_stage_and_the_head_stays_in_sight(page: Page, pictures: ApiStack) -> None:
    job_id = await pictures.order(*[20] * 12)
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator("[data-stage]")).to_have_count(12)
    jump = page.get_by_label("Go to stage")
    await expect(jump.locator("option")).to_have_count(13)
    await jump.select_option("10")
    heading = page.locator("[data-stage='10'] h2")
    await expect(heading).to_be_focused()
    await expect(heading).to_be_in_viewport()
    bar = page.locator("[data-bar]")
    for sight in (page.locator("[data-count]"), page.get_by_role("button", name="Pause")):
        await expect(sight).to_be_in_viewport()
    there, below = await heading.bounding_box(), await bar.bounding_box()
    assert there is not None
    assert below is not None
    assert below["y"] == 0
    assert there["y"] >= below["y"] + below["height"], "nothing is hidden by the head"
    await picture(page, "jumped")
    pictures.provider.gate.set()
    await pictures.ended(job_id, 120)
    await expect(page.locator("[data-count]")).to_have_text("240 of 240", timeout=30_000)
    await jump.focus()
    await expect(jump.locator("option").nth(11)).to_have_text("11. Stage 11: 20 of 20, complete")
    await page.set_viewport_size({"width": 390, "height": 844})
    await picture(page, "jumped-phone")
    below = await bar.bounding_box()
    assert below is not None
    assert below["height"] < 844 / 4


async def test_few_stages_are_shown_in_full(page: Page, api: ApiStack) -> None:
    job_id = await api.order(*[20] * 8)
    await api.ended(job_id)
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator("[data-frame]")).to_have_count(160)
    await expect(page.locator("[data-folded]")).to_have_count(0)
    await expect(page.get_by_label("Go to stage")).to_be_hidden()


PAINT = """
async () => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const [page] = performance.getEntriesByType("navigation");
  return {
    answered: Math.round(page.responseStart), sent: Math.round(page.responseEnd),
    paint: Math.round(paint?.startTime ?? 0),
    ready: Math.round(page.domContentLoadedEventEnd), kilobytes: Math.round(page.decodedBodySize / 1000),
  };
}
"""
"""Milliseconds from asking for the page until it is answered, sent, painted for the first time, and alive."""


@pytest.mark.slow
async def test_strips_that_are_far_get_their_frames_when_somebody_comes_near(page: Page, pictures: ApiStack) -> None:
    pictures.provider.gate.set()
    job_id = await pictures.order(*[6] * 40)
    await pictures.ended(job_id, 120)
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator("[data-stage]")).to_have_count(40)
    last = page.locator("[data-stage='39']")
    await expect(last.locator("[data-frame]")).to_have_count(0)
    await last.scroll_into_view_if_needed()
    await expect(last.locator("[data-state='delivered']")).to_have_count(6)
    await last.locator("[data-position='2'] a").click()
    await expect(page.locator("[data-lighttable]")).to_contain_text("Stage 40, picture 2")
    await expect(page.locator("[data-lighttable]")).to_contain_text("237 of 240")


@pytest.mark.slow
async def test_a_thousand_stages_are_painted_with_the_first_rows(page: Page, pictures: ApiStack) -> None:
    figures = {}
    await page.add_init_script(WATCH_LONG_TASKS)
    for stages in (10, 100, 1_000):
        part = [{"prompt": f"stage {number}", "quantity": 30} for number in range(stages)]
        job_id = await pictures.written({"job_type": "pipeline_stage", "stages": part})
        for _ in range(2):
            await page.goto(f"/jobs/{job_id}")
            await expect(page.locator("[data-frame]")).to_have_count(16 * min(stages, 20), timeout=60_000)
        figures[stages] = await page.evaluate(PAINT)
        print(f"{stages} stages: {figures[stages]}")  # noqa: T201 - a figure
        await long_tasks(page, f"{stages} stages of 30")
    # Ten times as many stages may take ten times as long, with as much again for whatever else the machine does.
    assert figures[1_000]["paint"] < 20 * max(figures[100]["paint"], 50)
