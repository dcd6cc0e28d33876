"""A table on the order form: dropped with its pictures, seen as stages, ordered, and ordered again."""

import base64
import io
from uuid import UUID

import pytest
from PIL import Image
from playwright.async_api import Page, expect

from tests.support.browser.chromium import violations
from tests.support.stacks.api import ApiStack

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLE = b"Colour;product;quantity;reference\nred;chair;3;a.png\n\ngreen;lamp;;\n"

DROP = """([selector, files]) => {
  const data = new DataTransfer();
  for (const [name, type, content] of files) {
    const bytes = Uint8Array.from(atob(content), (char) => char.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  for (const kind of ["dragover", "drop"]) {
    const options = { dataTransfer: data, bubbles: true, cancelable: true };
    document.querySelector(selector).dispatchEvent(new DragEvent(kind, options));
  }
}"""


def picture() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 30)).save(target, "PNG")
    return target.getvalue()


async def drop(page: Page, selector: str, *files: tuple[str, str, bytes]) -> None:
    encoded = [(name, kind, base64.b64encode(data).decode()) for name, kind, data in files]
    await page.evaluate(DROP, [selector, encoded])


@pytest.mark.parametrize("target", ["[data-stage-card]", pytest.param("[data-adding]", marks=pytest.mark.slow)])
async def test_a_table_is_dropped_seen_and_ordered(page: Page, api: ApiStack, target: str) -> None:
    await page.goto("/")
    await drop(page, target, ("rows.csv", "text/csv", TABLE))
    panel = page.locator("[data-table]")
    await expect(panel.get_by_role("heading")).to_have_text("rows.csv · 2 stages")
    await expect(panel).to_contain_text("Add the picture that the table names: a.png.")
    await drop(page, "[data-table]", ("a.png", "image/png", picture()))
    await expect(panel).not_to_contain_text("Add the picture")

    card = page.locator("[data-stage-card]")
    await expect(card).to_have_count(1)
    await card.get_by_label("Prompt").fill("A  on a table")
    await card.get_by_label("Prompt").evaluate("one => one.setSelectionRange(2, 2)")
    await panel.get_by_role("button", name="{Colour}").click()
    await page.keyboard.type(" {product}")
    await card.get_by_label("Pictures per stage").fill("2")
    rows = panel.locator("tbody tr")
    await expect(rows).to_have_count(2)
    await expect(rows.first.locator("td")).to_have_text(
        ["2", "red, chair", "A red chair on a table", "3", "16:9", "1", "60"]
    )
    await expect(rows.last.locator("td")).to_have_text(
        ["4", "green, lamp", "A green lamp on a table", "2", "16:9", "0", "40"]
    )
    await expect(page.locator("[data-sum]")).to_have_text("5 pictures, 100 credits")
    assert await violations(page) == []

    await page.reload()
    await expect(rows).to_have_count(2)
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    await expect(page.locator("[data-count]")).to_have_text("5 of 5")
    await expect(page.locator("[data-stage='1']")).to_contain_text("green, lamp")
    ended = await api.ended(UUID(page.url.rpartition("/")[2]))
    assert (ended["status"], ended["job_type"], ended["completed_images"]) == ("completed", "template", 5)

    await page.get_by_role("button", name="Order again").click()
    await expect(page.locator("[data-loaded]")).to_contain_text("2 stages")
    await expect(panel.locator("tbody tr")).to_have_count(2)
    await expect(card.get_by_label("Prompt")).to_have_value("A {Colour} {product} on a table")


async def test_what_is_wrong_with_a_table_is_said_by_row_and_column(page: Page, api: ApiStack) -> None:
    await page.goto("/")
    message = page.locator("[data-message]")
    await drop(page, "[data-stage-card]", ("rows.csv", "", b'a,b\n1,"2\n'))
    await expect(message).to_have_text("rows.csv: row 2, column b: has a quote that is not closed.")
    await drop(page, "[data-stage-card]", ("rows.csv", "", b"Colour,quantity\nred,2\nblue,0\n"))
    await page.get_by_label("Prompt").fill("A {size} lamp")
    await expect(message).to_contain_text("Row 2, column size: has no value, and the prompt needs {size}")
    await page.get_by_label("Prompt").fill("A {colour} lamp")
    await expect(message).to_have_text("Row 3, column quantity: 0 is not between 1 and 10000.")
    await page.locator("[data-table-remove]").click()
    await expect(page.locator("[data-table]")).to_be_hidden()
    await expect(message).to_be_hidden()
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("[data-table]")).to_be_visible()


async def test_a_thousand_stages_are_seen_fifty_at_first(page: Page, api: ApiStack) -> None:
    await page.goto("/")
    table = "number\n" + "\n".join(str(number) for number in range(1_000))
    chosen = {"name": "many.csv", "mimeType": "text/csv", "buffer": table.encode()}
    await page.locator("#table-file").set_input_files(chosen)  # type: ignore[arg-type]  # a FilePayload
    await page.get_by_label("Prompt").fill("Number {number}")
    await expect(page.locator("[data-rows] tr")).to_have_count(50)
    await page.get_by_role("button", name="Show all 1,000 stages").click()
    await expect(page.locator("[data-rows] tr")).to_have_count(1_000)
    await expect(page.locator("[data-rows] tr").last).to_contain_text("Number 999")


async def test_a_single_batch_is_ordered_again_with_its_combinations(page: Page, api: ApiStack) -> None:
    combinations = [
        {"angle": "front", "shot": "full", "quantity": 2},
        {"angle": "back", "shot": "tight", "quantity": 1},
    ]
    document = {"basePrompt": "A coat", "aspect-ratio": "1:1", "combinations": combinations}
    job = (await api.http.post("/api/jobs", json=document)).json()
    await api.ended(UUID(job["job_id"]))
    await page.goto(job["urls"]["page"])
    await page.get_by_role("button", name="Order again").click()
    rows = page.locator("[data-rows] tr")
    await expect(rows).to_have_count(2)
    await expect(rows.last).to_contain_text("back, tight")
    await expect(page.get_by_label("Pictures per stage")).to_be_hidden()
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    ended = await api.ended(UUID(page.url.rpartition("/")[2]))
    assert (ended["job_type"], ended["completed_images"]) == ("single_batch", 3)
