"""Size and format are chosen on the order form, with the price."""

import pytest
from playwright.async_api import Page, expect

from tests.page.test_page import write_stage
from tests.support.browser.chromium import violations
from tests.support.stacks.api import ApiStack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_pictures_of_2k_are_ordered_as_png_at_their_price(page: Page, pictures: ApiStack) -> None:
    await page.goto("/")
    await write_stage(page, 0, "A lemon on a table", 4)
    total = page.locator("[data-total]")
    await expect(total).to_contain_text("4 pictures, 80 credits")
    size, form = page.get_by_label("Size"), page.get_by_label("Format")
    await expect(size).to_have_value("1K")
    await expect(form).to_have_value("webp")
    await size.select_option(label="2K, 30 credits each")
    await form.select_option("png")
    await expect(total).to_contain_text("4 pictures, 120 credits")
    await expect(page.locator("[data-stage-price]")).to_have_text("120 credits")
    assert await violations(page) == []
    await page.reload()
    await expect(size).to_have_value("2K")
    await expect(form).to_have_value("png")
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    pictures.provider.gate.set()
    await expect(page.locator("[data-count]")).to_have_text("4 of 4", timeout=20_000)
    [job] = await pictures.parts.records.job_page(10)
    images = await pictures.parts.records.delivered_images(job.job_id, 0, 10)
    assert {image.path.rpartition(".")[2] for image in images} == {"png"}
    await pictures.ended(job.job_id)
    receipt = await pictures.parts.records.receipt(job.job_id)
    assert receipt is not None
    assert receipt.total.charged == 120

    await page.get_by_role("button", name="Order again").click()
    await expect(size).to_have_value("2K")
    await expect(form).to_have_value("png")
    await expect(page.locator("[data-besides]")).to_be_hidden()
