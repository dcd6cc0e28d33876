"""Jobs are named, renamed and found on the page."""

import pytest
from playwright.async_api import Page, expect

from tests.page.test_page import order_two_stages, write_stage
from tests.support.browser.chromium import violations
from tests.support.stacks.api import ApiStack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_order_gets_a_name_which_is_changed_while_it_runs(page: Page, pictures: ApiStack) -> None:
    await page.goto("/")
    await write_stage(page, 0, "A lemon on a table", 2)
    await page.get_by_label("Name").fill("Lemons")
    await page.get_by_label("Name").press("Enter")
    await expect(page.locator("[data-stage-card]")).to_have_count(1)
    await page.reload()
    await expect(page.get_by_label("Name")).to_have_value("Lemons")
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    name = page.locator("[data-name]")
    await expect(name).to_have_text("Lemons")
    await expect(page).to_have_title("0/2 · Lemons")
    await page.get_by_text("Rename").click()
    await page.get_by_label("Name").fill("Limes\u202e")
    await page.get_by_label("Name").press("Enter")
    await expect(page.locator("[data-message]")).to_contain_text("name: contains a control character")
    await page.get_by_label("Name").fill("Limes")
    await page.get_by_role("button", name="Save").click()
    await expect(name).to_have_text("Limes")
    await expect(page.locator("[data-message]")).to_be_hidden()
    assert await violations(page) == []
    pictures.provider.gate.set()
    await expect(page).to_have_title("2/2 · Limes")
    await page.reload()
    await expect(name).to_have_text("Limes")
    await page.get_by_role("button", name="Order again").click()
    await expect(page.get_by_label("Name")).to_have_value("Lemons")


async def test_a_list_is_narrowed_by_words_and_state_and_follows(page: Page, pictures: ApiStack) -> None:
    lemons = await pictures.order(1, name="Lemons")
    await pictures.order(1, name="Limes")
    await pictures.provider.until_calls(2)
    await page.goto("/jobs")
    rows = page.locator("[data-job]")
    await expect(rows).to_have_count(2)
    await page.get_by_label("Search names and prompts").fill("LEM")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**search=LEM**")
    await expect(rows).to_have_count(1)
    await expect(page.locator("[data-title]")).to_have_text("Lemons")
    assert await violations(page) == []
    await page.get_by_role("link", name="Running", exact=True).click()
    await page.wait_for_url("**status=running**")
    await expect(rows).to_have_count(1)
    await expect(page.get_by_label("Search names and prompts")).to_have_value("LEM")
    await pictures.http.post(f"/api/jobs/{lemons}/pause")
    await expect(rows).to_have_count(0, timeout=20_000)
    await page.get_by_role("link", name="Paused", exact=True).click()
    await expect(page.locator(f"[data-job='{lemons}']")).to_be_visible()
    await page.get_by_label("Search names and prompts").fill("nowhere")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No jobs found.")).to_be_visible()
    await page.get_by_role("link", name="Show all jobs").click()
    await expect(rows).to_have_count(2)


async def test_a_name_is_saved_without_script(page: Page, pictures: ApiStack) -> None:
    job_id = await order_two_stages(page, 1, 1)
    browser = page.context.browser
    assert browser is not None
    plain = await browser.new_context(base_url=pictures.url, java_script_enabled=False)
    tab = await plain.new_page()
    await tab.goto(f"/jobs/{job_id}")
    await tab.get_by_text("Name this job").click()
    await tab.get_by_label("Name").fill("<b>Plain</b>")
    await tab.get_by_role("button", name="Save").click()
    await expect(tab.locator("[data-name]")).to_have_text("<b>Plain</b>")
    await plain.close()
    await expect(page.locator("[data-name]")).to_have_text("<b>Plain</b>")
