"""Who pays is chosen on the order form where there is a choice, and the job's page tells it."""

import pytest
from playwright.async_api import Page, expect

from darkroom.domain.names import LOCAL_USER
from tests.api.test_organizations import records_of
from tests.page.test_page import write_stage
from tests.support.browser.chromium import violations
from tests.support.records.organizations import organization, set_organization
from tests.support.stacks.api import ApiStack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_without_an_organization_there_is_nothing_to_choose(page: Page, api: ApiStack) -> None:
    await page.goto("/")
    await expect(page.get_by_label("Prompt")).to_be_visible()
    await expect(page.get_by_label("Paid by")).to_be_hidden()


async def test_an_organization_is_chosen_and_pays(page: Page, pictures: ApiStack) -> None:
    await organization(records_of(pictures), 90, [LOCAL_USER])
    await page.goto("/")
    await write_stage(page, 0, "A lemon on a table", 4)
    total = page.locator("[data-total]")
    await expect(total).to_contain_text("100,000 available")
    await page.get_by_label("Paid by").select_option(label="Acme")
    await expect(total).to_contain_text("90 available, 10 remaining after this order")
    assert await violations(page) == []
    await page.reload()
    await expect(page.get_by_label("Paid by")).to_have_value(
        await page.get_by_role("option", name="Acme").get_attribute("value") or ""
    )
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    await expect(page.locator("[data-figure=payer] dd")).to_have_text("Acme")
    pictures.provider.gate.set()
    await expect(page.locator("[data-count]")).to_have_text("4 of 4", timeout=20_000)
    assert await violations(page) == []
    account = await pictures.parts.records.account(LOCAL_USER)
    assert account is not None
    assert account.balance == 100_000


async def test_an_organization_that_is_suspended_while_one_writes_is_said(page: Page, api: ApiStack) -> None:
    org_id = await organization(records_of(api), 90, [LOCAL_USER])
    await page.goto("/")
    await page.get_by_label("Paid by").select_option(label="Acme")
    await set_organization(records_of(api), org_id, "suspended")
    await write_stage(page, 0, "A lemon on a table", 4)
    await expect(page.locator("[data-message]")).to_contain_text("is suspended and cannot pay")
    await page.get_by_role("button", name="Order", exact=True).click()
    await expect(page.locator("[data-message]")).to_contain_text("is suspended and cannot pay")
    assert await api.parts.records.job_page(10) == []
    await page.reload()
    await expect(page.get_by_role("option", name="Acme (suspended)")).to_be_attached()
