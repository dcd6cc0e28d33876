"""The page under a prefix in a browser: it is drawn, follows, orders and signs in as it does at the root."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, expect
from temporalio.client import Client

from tests.support.stacks.prefixes import Reached, Way, reached

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALONE = [pytest.param(way, marks=pytest.mark.slow) for way in Way if way is not Way.MOUNTED_BEHIND_PROXY]


@asynccontextmanager
async def tab(browser: Browser, way: Reached) -> AsyncIterator[Page]:
    """A tab in which nothing fails: no script, and no request that goes past the prefix."""
    wrong: list[str] = []
    context = await browser.new_context(base_url=way.url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    page = await context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: wrong.append(asked.url) if _goes_past(way, asked.url) else None)
    yield page
    await context.close()
    assert wrong == []


def _goes_past(way: Reached, url: str) -> bool:
    return url.startswith("http") and not url.startswith(f"{way.url}{way.prefix}/")


@pytest.mark.parametrize("way", [Way.MOUNTED_BEHIND_PROXY, *ALONE])
async def test_an_order_is_written_followed_and_looked_at(
    browser: Browser, temporal: Client, tmp_path: Path, way: Way
) -> None:
    async with reached(way, temporal, tmp_path) as api, tab(browser, api) as page:
        await page.goto(f"{api.prefix}/")
        await page.get_by_label("Prompt").fill("a lemon on a table")
        await page.get_by_label("Pictures", exact=True).fill("3")
        await page.get_by_role("button", name="Order", exact=True).click()
        await page.wait_for_url(re.compile(rf"{api.prefix}/jobs/[0-9a-f-]+$"))
        await expect(page.locator("[data-count]")).to_have_text("3 of 3")
        await expect(page.locator("[data-standing]")).to_contain_text("Completed")
        await page.wait_for_function(
            "() => { const all = [...document.querySelectorAll('.frame img')];"
            " return all.length === 3 && all.every((one) => one.complete && one.naturalWidth > 0); }"
        )
        # Style sheets are there: the page's own, not the browser's.
        assert await page.evaluate("getComputedStyle(document.querySelector('.frames')).display") == "flex"
        await page.locator(".frame a").first.click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.get_by_role("link", name="Jobs").first.click()
        await page.wait_for_url(f"**{api.prefix}/jobs")
        await expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs")).to_have_attribute(
            "aria-current", "page"
        )
        await page.locator("a.job").click()
        await page.get_by_role("button", name="Order again").click()
        await expect(page.get_by_label("Prompt")).to_have_value("a lemon on a table")
        assert await page.evaluate("location.pathname") == f"{api.prefix}/"


async def test_the_reference_calls_the_api_under_the_prefix(browser: Browser, temporal: Client, tmp_path: Path) -> None:
    async with reached(Way.MOUNTED, temporal, tmp_path) as api, tab(browser, api) as page:
        await page.goto(f"{api.prefix}/docs")
        await expect(page.locator(".servers select")).to_have_value(api.prefix)
        await page.locator("#operations-deployment-account_api_account_get").get_by_role("button").first.click()
        await page.get_by_role("button", name="Try it out").click()
        await page.get_by_role("button", name="Execute").click()
        await expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text("200")


async def test_one_signs_in_and_out(browser: Browser, temporal: Client, tmp_path: Path) -> None:
    settings = {"api_host": "0.0.0.0"}
    async with reached(Way.MOUNTED, temporal, tmp_path, settings) as api, tab(browser, api) as page:
        await page.goto(f"{api.prefix}/jobs")
        await page.get_by_label("API key or access token").fill(await api.key(uuid4()))
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"**{api.prefix}/jobs")
        assert [cookie["path"] for cookie in await page.context.cookies()] == [api.prefix]
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url(f"**{api.prefix}/sign-in")
        assert await page.context.cookies() == []
