"""Stages of an order half written are duplicated and put into another order, by mouse and by keyboard."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Page, expect

from tests.support.browser.chromium import violations
from tests.support.stacks.api import ApiStack

pytestmark = pytest.mark.asyncio(loop_scope="session")

PICTURES = os.environ.get("PAGE_PICTURES")
"""A folder for what the page looked like, for whoever wants to see."""


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png")


def photo(name: str, shade: str = "teal") -> dict[str, object]:
    target = io.BytesIO()
    Image.new("RGB", (640, 480), shade).save(target, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": target.getvalue()}


async def write(page: Page, *prompts: str) -> None:
    """A card per prompt, with as many pictures as its place."""
    await page.goto("/")
    for number, prompt in enumerate(prompts):
        if number:
            await page.get_by_role("button", name="Add a stage").click()
        card = page.locator("[data-stage-card]").nth(number)
        await card.get_by_label("Prompt").fill(prompt)
        await card.get_by_label("Pictures", exact=True).fill(str(number + 1))


async def has(page: Page, *stages: tuple[str, int]) -> None:
    """Whether the cards are these, of whom the form and the headings say the same."""
    cards = page.locator("[data-stage-card]")
    await expect(cards).to_have_count(len(stages))
    for number, (prompt, quantity) in enumerate(stages):
        await expect(cards.nth(number).get_by_role("heading")).to_have_text(f"Stage {number + 1}")
        await expect(cards.nth(number).get_by_label("Prompt")).to_have_value(prompt)
        await expect(cards.nth(number).get_by_label("Pictures", exact=True)).to_have_value(str(quantity))


async def focused(page: Page) -> str:
    name: str = await page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.name")
    return name


async def test_a_duplicate_stands_behind_its_original_with_all_it_has(page: Page, api: ApiStack) -> None:
    await write(page, "A lemon", "A vase")
    first = page.locator("[data-stage-card]").first
    await first.get_by_text("1:1", exact=True).click()
    await first.locator("input[type=file]").set_input_files(photo("lemon.png"))  # type: ignore[arg-type]  # a FilePayload
    await page.get_by_role("button", name="Duplicate stage 1").click()
    await has(page, ("A lemon", 1), ("A lemon", 1), ("A vase", 2))
    assert await focused(page) == "prompt"
    copy = page.locator("[data-stage-card]").nth(1)
    await expect(copy.get_by_alt_text("Reference 1: lemon.png")).to_be_visible()
    await copy.get_by_label("Prompt").fill("A lime")
    await has(page, ("A lemon", 1), ("A lime", 1), ("A vase", 2))
    await picture(page, "cards")
    assert await violations(page) == []
    await page.reload()
    await has(page, ("A lemon", 1), ("A lime", 1), ("A vase", 2))
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    [row] = await api.parts.records.job_page(10)
    stages = await api.parts.records.stages(row.job_id)
    assert [(one.prompt, one.quantity, one.aspect_ratio, len(one.references)) for one in stages] == [
        ("A lemon", 1, "1:1", 1), ("A lime", 1, "1:1", 1), ("A vase", 2, "16:9", 0),
    ]  # fmt: skip


async def test_stages_change_places_and_the_focus_goes_with_them(page: Page, api: ApiStack) -> None:
    await write(page, "A lemon", "A vase", "A shell")
    await expect(page.get_by_role("button", name="Move up stage 1")).to_be_disabled()
    await expect(page.get_by_role("button", name="Move down stage 3")).to_be_disabled()
    await page.get_by_role("button", name="Move down stage 1").focus()
    await page.keyboard.press("Enter")
    await has(page, ("A vase", 2), ("A lemon", 1), ("A shell", 3))
    assert await focused(page) == "Move down stage 2"
    await page.keyboard.press("Enter")
    await has(page, ("A vase", 2), ("A shell", 3), ("A lemon", 1))
    assert await focused(page) == "Move up stage 3", "a button that can do no more gives the focus to its opposite"
    await page.locator("[data-stage-card]").nth(1).get_by_label("Prompt").focus()
    await page.keyboard.press("Alt+ArrowUp")
    await has(page, ("A shell", 3), ("A vase", 2), ("A lemon", 1))
    await page.keyboard.type("!")
    await has(page, ("A shell!", 3), ("A vase", 2), ("A lemon", 1))
    await page.keyboard.press("Alt+ArrowUp")
    await has(page, ("A shell!", 3), ("A vase", 2), ("A lemon", 1))
    await page.reload()
    await has(page, ("A shell!", 3), ("A vase", 2), ("A lemon", 1))
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    [row] = await api.parts.records.job_page(10)
    assert [stage.prompt for stage in await api.parts.records.stages(row.job_id)] == ["A shell!", "A vase", "A lemon"]


async def test_a_reference_stands_beside_its_result_and_opens_large(page: Page, api: ApiStack) -> None:
    await write(page, "A lemon", "A vase")
    first = page.locator("[data-stage-card]").first
    files = [photo("front.png"), photo("back.png", "salmon")]
    await first.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]  # FilePayloads
    await first.get_by_label("Pictures", exact=True).fill("2")
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    await expect(page.locator("[data-state='delivered']")).to_have_count(4)
    await page.locator("[data-stage='0'] [data-position='0'] a").click()
    table = page.locator("[data-lighttable]")
    beside = table.get_by_role("group", name="References")
    enlarge = beside.get_by_role("button", name="Enlarge back.png")
    await expect(beside.get_by_role("button")).to_have_count(2)
    await page.wait_for_function(
        "() => [...document.querySelectorAll('.beside button img')].every(one => one.naturalWidth)"
    )
    await picture(page, "beside")
    await enlarge.focus()
    await page.keyboard.press("Enter")
    large = beside.get_by_alt_text("back.png")
    await expect(large).to_be_visible()
    await page.wait_for_function("() => document.querySelector('.beside > img').naturalWidth === 640")
    result = table.locator(".picture")
    there, here = await large.bounding_box(), await result.bounding_box()
    assert there is not None
    assert here is not None
    assert here["x"] + here["width"] <= there["x"], "beside each other"
    assert abs(there["width"] - here["width"]) < 24, "both have half of the room"
    await picture(page, "comparing")
    assert await violations(page) == []
    await page.keyboard.press("ArrowRight")
    await expect(table).to_contain_text("picture 1")
    await expect(large).to_be_visible()
    await page.set_viewport_size({"width": 390, "height": 844})
    await picture(page, "comparing-phone")
    there, here = await large.bounding_box(), await result.bounding_box()
    assert there is not None
    assert here is not None
    assert here["y"] + here["height"] <= there["y"], "below each other"
    await page.keyboard.press("Escape")
    await expect(large).to_be_hidden()
    await expect(enlarge).to_have_attribute("aria-pressed", "false")
    await picture(page, "beside-phone")
    await page.keyboard.press("ArrowRight")
    await expect(table).to_contain_text("A vase")
    await expect(beside).to_be_hidden()
    await page.keyboard.press("Escape")
    await expect(table).to_be_hidden()
