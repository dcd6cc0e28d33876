"""A job is deleted on the page, with what goes said first."""

from uuid import UUID

import pytest
from playwright.async_api import Page, expect

from darkroom.domain.sentences import what_goes
from tests.page.test_page import order_two_stages
from tests.support.browser.chromium import violations
from tests.support.stacks.api import ApiStack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def ended_on_the_page(page: Page, api: ApiStack) -> UUID:
    job_id = await order_two_stages(page, 2, 1)
    await api.ended(job_id)
    await expect(page.get_by_role("button", name="Delete", exact=True)).to_be_visible()
    return job_id


async def test_a_dialog_says_what_goes_before_it_goes(page: Page, api: ApiStack) -> None:
    job_id = await ended_on_the_page(page, api)
    found = await api.parts.client(None).deletion(job_id)
    await page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.locator("p")).to_have_text(what_goes(found))
    await expect(dialog).to_contain_text("3 pictures (")
    assert await violations(page) == []
    await dialog.get_by_role("button", name="Keep it").click()
    await expect(dialog).to_be_hidden()
    assert (await api.job(job_id))["deleted_at"] is None
    await page.get_by_role("button", name="Delete", exact=True).click()
    await dialog.get_by_role("button", name="Delete job").click()
    await page.wait_for_url("**/jobs")
    await expect(page.get_by_text("No jobs yet.")).to_be_visible()
    assert await api.parts.storage.keys("generated-images/") == []
    await page.goto(f"/jobs/{job_id}")
    await expect(page.get_by_text("its pictures and prompts are gone")).to_be_visible()
    await expect(page.locator("[data-count]")).to_have_text("3 of 3")
    for name in ("Delete", "Download all", "Order again", "Restart"):
        await expect(page.get_by_role("button", name=name, exact=True)).to_be_hidden()
    await expect(page.get_by_text("Name this job")).to_be_hidden()
    assert await violations(page) == []


async def test_a_job_that_runs_offers_no_delete(page: Page, pictures: ApiStack) -> None:
    await order_two_stages(page, 2, 1)
    await expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Delete", exact=True)).to_be_hidden()


async def test_a_job_is_deleted_without_script(page: Page, api: ApiStack) -> None:
    job_id = await ended_on_the_page(page, api)
    browser = page.context.browser
    assert browser is not None
    plain = await browser.new_context(base_url=api.url, java_script_enabled=False)
    tab = await plain.new_page()
    await tab.goto(f"/jobs/{job_id}")
    await tab.get_by_role("button", name="Delete", exact=True).click()
    await expect(tab.get_by_text("3 pictures (")).to_be_visible()
    await tab.get_by_role("link", name="Keep it").click()
    await tab.get_by_role("button", name="Delete", exact=True).click()
    await tab.get_by_role("button", name="Delete job").click()
    await tab.wait_for_url("**/jobs")
    assert (await api.job(job_id))["deleted_at"] is not None
    await plain.close()
