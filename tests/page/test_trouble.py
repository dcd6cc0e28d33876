"""Trouble is seen where one looks: at the frame, in the head of the job, and only as long as it lasts."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from temporalio.client import Client

from darkroom.domain.errors import ProviderUnavailable
from darkroom.domain.images import Generated, ImageRequest, ProviderAnswer
from tests.support.browser.chromium import violations
from tests.support.browser.line import running_line
from tests.support.fakes.scripted import PICTURE, Act, Always, ScriptedProvider
from tests.support.stacks.api import ApiStack, running_api
from tests.support.stacks.temporal_server import running_temporal
from worker import running_workers

pytestmark = pytest.mark.asyncio(loop_scope="session")

PICTURES = os.environ.get("TROUBLE_PICTURES")
"""A folder for what the page looked like, for whoever wants to see."""


@asynccontextmanager
async def tab(browser: Browser, api: ApiStack) -> AsyncIterator[Page]:
    context = await browser.new_context(
        base_url=api.url, viewport={"width": 1280, "height": 800}, reduced_motion="reduce"
    )
    context.set_default_timeout(15_000)
    yield await context.new_page()
    await context.close()


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png")


async def test_a_provider_that_fails_is_seen_in_the_head_and_at_its_frames_until_it_answers(
    browser: Browser, temporal: Client, tmp_path: Path
) -> None:
    provider = Always(Act.DRAW)
    async with running_api(temporal, tmp_path, provider=provider) as api, tab(browser, api) as page:
        provider.script = {}
        job_id = await api.order(3)
        await api.ended(job_id)
        provider.act = Act.FAULT
        job_id = await api.order(5)
        await page.goto(f"/jobs/{job_id}")
        standing = page.locator("[data-standing]")
        told = re.compile(
            r"^Offline is failing \(503 from the provider\) since \d\d:\d\d; 5 pictures are being retried$"
        )
        await expect(standing).to_have_text(told, timeout=20_000)
        await expect(page.locator("[data-frame][data-retried]")).to_have_count(5)
        await expect(page.locator('[data-figure="left"] dd')).to_have_text("–")
        await expect(page.locator("[data-stage-reason]")).to_have_text("retrying 5 pictures: 503 from the provider")
        sign = page.locator("[data-frame] > [data-tip]").first
        await sign.focus()
        words = re.compile(r"^Picture 0: 503 from the provider, attempt \d+ of 20$")
        await expect(page.locator(".tip")).to_have_text(words)
        await expect(sign).to_have_attribute("aria-label", words)
        assert await violations(page) == []
        await picture(page, "failing")
        await page.set_viewport_size({"width": 390, "height": 844})
        await picture(page, "failing-phone")
        provider.act = Act.DRAW
        await expect(standing).to_have_text("Completed: all 5 pictures delivered", timeout=40_000)
        await expect(page.locator("[data-frame][data-retried]")).to_have_count(0)
        await expect(page.locator("[data-stage-reason]")).to_have_text("")


async def test_the_head_says_that_no_worker_is_running(browser: Browser, tmp_path: Path) -> None:
    async with (
        running_temporal() as temporal,
        running_api(temporal, tmp_path, workers=False) as api,
        tab(browser, api) as page,
    ):
        job_id = await api.order(4)
        await page.goto(f"/jobs/{job_id}")
        await expect(page.locator("[data-standing]")).to_have_text("Waiting to start: no worker is running")
        await picture(page, "no-worker")
        async with running_workers(api.parts, temporal):
            await expect(page.locator("[data-standing]")).to_have_text(
                "Completed: all 4 pictures delivered", timeout=40_000
            )


class Recovering(ScriptedProvider):
    """Fails until it is well, and then has all pictures but one."""

    well = False

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        if not self.well:
            raise ProviderUnavailable("503 from the provider")
        if request.ordinal == 0:
            await self.gate.wait()
        return Generated(data=PICTURE)


async def test_a_provider_that_answers_again_is_no_longer_said_to_fail_while_the_job_goes_on(
    browser: Browser, temporal: Client, tmp_path: Path
) -> None:
    provider = Recovering(held=True)
    async with running_api(temporal, tmp_path, provider=provider) as api, tab(browser, api) as page:
        await page.goto(f"/jobs/{await api.order(5)}")
        standing = page.locator("[data-standing]")
        await expect(standing).to_contain_text("Offline is failing", timeout=20_000)
        provider.well = True
        await expect(standing).to_have_text("Running", timeout=60_000)
        await expect(page.locator("[data-count]")).to_have_text("4 of 5", timeout=60_000)
        await expect(standing).to_have_text("Running")


async def test_an_outage_leaves_no_message_behind_once_it_is_over(page: Page, api: ApiStack) -> None:
    job_id = await api.order(1)
    await api.ended(job_id)
    async with running_line(int(api.url.rpartition(":")[2])) as (line, address):
        await page.goto(f"{address}/jobs/{job_id}")
        line.cut()
        await page.get_by_text("Name this job").click()
        await page.get_by_role("button", name="Save").click()
        message, lost = page.locator("[data-message]"), page.locator("[data-offline]")
        await expect(message).to_have_text("Darkroom is unreachable.")
        await expect(lost).to_be_visible()
        line.mend()
        await expect(lost).to_be_hidden(timeout=40_000)
        await expect(message).to_be_hidden()
