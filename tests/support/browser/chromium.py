"""A real browser on the page, driven by Playwright."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.support.programs import required

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first of them that there is; the shell draws no windows, which costs the others half of their time."""
AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def chromium() -> str:
    """The browser's program; a test without it is skipped, and fails in CI."""
    return required(
        next(filter(None, map(shutil.which, PROGRAMS)), None),
        "Chromium",
        "install it (Debian: `apt-get install chromium-headless-shell`)",
    )


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """A browser without a profile."""
    program = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


async def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is now: each rule with the elements that break it."""
    # Evaluated rather than added as an element: the page's own policy allows no script of others.
    await page.evaluate(_axe())
    options = {"runOnly": {"type": "tag", "values": LEVELS}}
    found: dict[str, Any] = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{violation['id']}: {', '.join(' '.join(map(str, node['target'])) for node in violation['nodes'])}"
        for violation in found["violations"]
    ]


@cache
def _axe() -> str:
    found = required(str(AXE) if AXE.is_file() else None, "axe-core", "install Node.js and run `make test`")
    return Path(found).read_text("utf-8")
