"""Pictures of the page, as a visitor sees it: `python -m tests.page.screenshots FOLDER`.

Starts a stack of its own with the offline provider, orders, and looks at every page while the job runs and after.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from PIL import Image
from playwright.async_api import Browser, Page

from tests.cli.test_stack import STARTER, environment, first_document, ports_of_its_own
from tests.support.browser.chromium import running_browser
from tests.support.until import until

README_PICTURE = Path(__file__).parents[2] / "docs" / "images" / "job.png"
ORDER = {
    "stages": [
        {"prompt": "A lemon on a table, morning light through a linen curtain", "quantity": 24, "aspect-ratio": "16:9"},
        {"prompt": "A blue vase by a window, rain outside", "quantity": 16, "aspect-ratio": "1:1"},
        {"prompt": "A lighthouse at dusk, seen from a boat", "quantity": 10, "aspect-ratio": "3:4"},
    ]
}
TABLE = 'Colour,product,quantity\nred,chair,3\nsea green,lamp,2\nwalnut,"table, low",4\nblack,stool,1\nwhite,shelf,2\n'
SETTINGS = {
    "OFFLINE_LATENCY": "1-3",
    "OFFLINE_SIZE": "1376x768",
    "OFFLINE_MISS_RATE": "0.08",
    "STAGE_CONCURRENCY": "6",
    "TOP_UP_DELAY": "1",
}
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def running_up(home: Path) -> Iterator[str]:
    """A stack; gives the address of its page."""
    home.mkdir()
    with (
        (home / "up.log").open("w") as log,
        subprocess.Popen(
            [*STARTER, "up", "--json", *ports_of_its_own()],
            env=environment(home, **SETTINGS),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield first_document(process)["page"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).is_success
    except httpx.TransportError:
        return False


async def take(page: Page, path: str, file: Path, *, whole: bool = True) -> None:
    """One picture of one page, when its own pictures are there."""
    if path:
        await page.goto(path)
    await page.wait_for_function("() => [...document.images].every(one => one.complete)")
    await page.screenshot(path=file, full_page=whole)
    print(file)  # noqa: T201 - a program's output


async def all_pictures(browser: Browser, address: str, folder: Path) -> None:
    """Every page, in the states that matter."""
    async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
        await until(lambda: _answers(http), "the API to answer", 120)
        client = await browser.new_context(base_url=address, viewport=DESKTOP, color_scheme="dark")  # type: ignore[arg-type]
        page = await client.new_page()
        await page.goto("/")
        await page.locator("[data-stage-card]").first.get_by_label("Prompt").fill(ORDER["stages"][0]["prompt"])  # type: ignore[arg-type]
        await page.get_by_role("button", name="Add a stage").click()
        await page.locator("[data-stage-card]").nth(1).get_by_label("Prompt").fill(ORDER["stages"][1]["prompt"])  # type: ignore[arg-type]
        await page.wait_for_load_state("networkidle")
        await take(page, "", folder / "order-dark.png")
        job = (await http.post("/api/jobs", json=ORDER)).json()["urls"]

        async def half_way() -> bool:
            return bool((await http.get(job["self"])).json()["completed_images"] >= 25)

        async def ended() -> bool:
            return bool((await http.get(job["self"])).json()["status"] == "completed")

        await page.goto(job["page"])
        await until(half_way, "half of the pictures", 120)
        await take(page, "", folder / "job-half-way-dark.png")
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await take(page, "", folder / "cancel-dark.png", whole=False)
        await page.keyboard.press("Escape")
        await until(ended, "the end of the job", 120)
        await take(page, job["page"], folder / "job-done-dark.png")
        await page.locator("[data-frame] a").nth(2).click()
        await take(page, "", folder / "light-table.png", whole=False)
        second = (await http.post("/api/jobs", json={"stages": [dict(ORDER["stages"][1], quantity=30)]})).json()["urls"]
        await http.post(second["cancel"])
        for scheme in ("dark", "light"):
            for name, viewport in (("", DESKTOP), ("-phone", PHONE)):
                visitor = await browser.new_context(base_url=address, viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
                page = await visitor.new_page()
                await page.goto("/")
                chosen = {"name": "chairs.csv", "mimeType": "text/csv", "buffer": TABLE.encode()}
                await page.locator("#table-file").set_input_files(chosen)  # type: ignore[arg-type]  # a FilePayload
                await page.get_by_label("Prompt").fill("A {Colour} {product} in an empty room, morning light")
                await page.locator("[data-rows] tr").first.wait_for()
                await take(page, "", folder / f"order-table-{scheme}{name}.png")
                await page.get_by_label("Prompt").fill("")
                await page.locator("[data-table-remove]").click()
                for file, path in (("order", "/"), ("job-done", job["page"]), ("jobs", "/jobs"), ("stats", "/stats")):
                    await take(page, path, folder / f"{file}-{scheme}{name}.png")
                await visitor.close()


def shrink(file: Path, target: Path) -> None:
    """The picture of the README, below 200 KiB: 256 colours, three quarters of the size."""
    with Image.open(file) as picture:
        small = picture.convert("RGB").resize(
            (picture.width * 3 // 4, picture.height * 3 // 4), Image.Resampling.LANCZOS
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    small.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
    print(target)  # noqa: T201 - a program's output


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="darkroom-page-") as home, running_up(Path(home) / "home") as address:
        async with running_browser() as browser:
            await all_pictures(browser, address, folder)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(Path(sys.argv[1])))
    shrink(Path(sys.argv[1]) / "job-half-way-dark.png", README_PICTURE)
    sys.stdout.flush()
    os._exit(0)
