"""The page in a browser, on the API of the API tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page
from temporalio.client import Client

from tests.api.conftest import temporal
from tests.support.browser.chromium import running_browser
from tests.support.stacks.api import ApiStack, running_api

__all__ = ["temporal"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser a test process."""
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def api(temporal: Client, tmp_path: Path) -> AsyncIterator[ApiStack]:
    """The API of the embedded default."""
    async with running_api(temporal, tmp_path) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, api: ApiStack) -> AsyncIterator[BrowserContext]:
    """A visitor who was never here, with a screen of 1280 × 800.

    Nothing moves: a browser that draws without a GPU spends a third of the folder's time on frames that breathe. What
    moves is seen in the tests of the mounted page.
    """
    visitor = await browser.new_context(
        base_url=api.url, viewport={"width": 1280, "height": 800}, accept_downloads=True, reduced_motion="reduce"
    )
    visitor.set_default_timeout(10_000)
    yield visitor
    await visitor.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A tab whose scripts make no mistake."""
    wrong: list[str] = []
    tab = await context.new_page()
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield tab
    expected = ("net::ERR_", "status of 4", "status of 5")
    assert [line for line in wrong if not any(part in line for part in expected)] == []


@pytest.fixture
def pictures(api: ApiStack) -> ApiStack:
    """The same API; its provider draws only when the test opens the gate."""
    api.provider.gate.clear()
    return api
