"""What the person in front of the page does: order, watch, cancel, restart, take home."""

import asyncio
import io
import json
import zipfile
from collections import Counter
from uuid import UUID, uuid4

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect
from pydantic import JsonValue

from darkroom.domain.jobs import NewJob
from darkroom.domain.names import LOCAL_USER
from tests.support.browser.chromium import violations
from tests.support.browser.line import running_line
from tests.support.fakes.scripted import Act
from tests.support.stacks.api import ApiStack
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def write_stage(page: Page, number: int, prompt: str, quantity: int) -> None:
    card = page.locator("[data-stage-card]").nth(number)
    await card.get_by_label("Prompt").fill(prompt)
    await card.get_by_label("Pictures", exact=True).fill(str(quantity))


async def order_two_stages(page: Page, first: int = 4, second: int = 2) -> UUID:
    """Order by the form; gives the job that the page then shows."""
    await page.goto("/")
    await write_stage(page, 0, "A lemon on a table", first)
    await page.get_by_role("button", name="Add a stage").click()
    await write_stage(page, 1, "A blue vase", second)
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    return UUID(page.url.rpartition("/")[2])


async def asked_to_stop(api: ApiStack, job_id: UUID) -> bool:
    row = await api.parts.records.job(job_id)
    return row is not None and row.cancel_requested


async def states(page: Page) -> Counter[str]:
    found = await page.locator("[data-frame]").evaluate_all("frames => frames.map(frame => frame.dataset.state)")
    return Counter(found)


async def until_states(page: Page, **wanted: int) -> None:
    """Wait until the frames show this and nothing else."""

    async def so() -> bool:
        return await states(page) == Counter(wanted)

    await until(so, f"frames that are {wanted}", 15)


async def test_an_order_of_two_stages_fills_frame_by_frame(page: Page, pictures: ApiStack) -> None:
    await order_two_stages(page)
    await expect(page.locator("[data-stage]")).to_have_count(2)
    await until_states(page, making=6)
    await expect(page.locator("[data-count]")).to_have_text("0 of 6")
    pictures.provider.gate.set()
    await until_states(page, delivered=6)
    await expect(page.locator("[data-count]")).to_have_text("6 of 6")
    await expect(page).to_have_title("6/6 · Darkroom")
    shown = "[...document.querySelectorAll('[data-frame] img')].filter(one => one.complete && one.naturalWidth).length"
    await page.wait_for_function(f"() => {shown} === 6")


async def test_a_missed_picture_is_made_again_in_its_own_frame(page: Page, pictures: ApiStack) -> None:
    pictures.provider.script = {(0, 1): [Act.MISS]}
    await order_two_stages(page, 3, 1)
    await until_states(page, making=4)
    pictures.provider.gate.set()
    frame = page.locator("[data-stage='0'] [data-position='1']")
    await expect(frame).to_have_attribute("data-state", "missed")
    await until_states(page, delivered=4)
    await expect(frame).to_have_attribute("data-state", "delivered")


async def test_a_refused_stage_says_why(page: Page, api: ApiStack) -> None:
    api.provider.script = {(0, ordinal): [Act.REFUSE_FINALLY] for ordinal in range(4)}
    await order_two_stages(page, 4, 2)
    await expect(page.locator("[data-stage='0']")).to_contain_text("this prompt is blocked")
    await expect(page.locator("[data-stage='1'] [data-state='delivered']")).to_have_count(2)


async def test_cancel_says_what_happens_then_restart_makes_the_rest(page: Page, pictures: ApiStack) -> None:
    job_id = await order_two_stages(page, 40, 2)
    await pictures.provider.until_calls(27)
    await expect(page.locator("[data-frame][data-state='making']")).to_have_count(27)
    await page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("27 calls in progress will be finished and charged")
    await expect(dialog).to_contain_text("15 pictures will not be made")
    await dialog.get_by_role("button", name="Keep running").click()
    await expect(dialog).to_be_hidden()
    assert (await pictures.job(job_id))["cancel_requested"] is False
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
    await until(lambda: asked_to_stop(pictures, job_id), "the flag on the job's row")
    pictures.provider.gate.set()
    await until_states(page, delivered=27, dropped=15)
    await page.get_by_role("button", name="Restart the missing 15").click()
    await until_states(page, delivered=42)
    await expect(page.locator("[data-count]")).to_have_text("42 of 42")
    await pictures.ended(job_id)
    receipt = (await pictures.http.get(f"/api/jobs/{job_id}/receipt")).json()
    assert receipt["total"]["charged"] == 42 * 20


async def test_pause_and_resume(page: Page, pictures: ApiStack) -> None:
    await order_two_stages(page, 30, 1)
    await pictures.provider.until_calls(26)
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("button", name="Resume")).to_be_visible()
    pictures.provider.gate.set()
    await until_states(page, delivered=26, waiting=5)
    await page.get_by_role("button", name="Resume").click()
    await until_states(page, delivered=31)


async def test_all_pictures_are_taken_home_as_one_archive(page: Page, api: ApiStack) -> None:
    await order_two_stages(page, 3, 2)
    await until_states(page, delivered=5)
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download all").or_(page.get_by_role("link", name="Download all")).click()
    path = await (await download.value).path()
    with zipfile.ZipFile(io.BytesIO(await asyncio.to_thread(path.read_bytes))) as package:
        assert package.testzip() is None
        pictures = [f"stage-{stage}_00{n}.webp" for stage, count in ((1, 3), (2, 2)) for n in range(1, count + 1)]
        assert package.namelist() == [*pictures, "manifest.json", "manifest.csv"]


async def taken_home(page: Page, control: Locator) -> zipfile.ZipFile:
    """What comes down when a button or a link is clicked."""
    async with page.expect_download() as download:
        await control.click()
    path = await (await download.value).path()
    package = zipfile.ZipFile(io.BytesIO(await asyncio.to_thread(path.read_bytes)))
    assert package.testzip() is None
    return package


async def test_one_stage_or_chosen_pictures_are_taken_home(page: Page, api: ApiStack) -> None:
    job_id = await order_two_stages(page, 3, 2)
    await until_states(page, delivered=5)
    with await taken_home(page, page.get_by_role("link", name="Download stage 2")) as package:
        assert package.namelist() == ["stage-2_001.webp", "stage-2_002.webp", "manifest.json", "manifest.csv"]
    chosen = page.locator("[data-chosen-archive]")
    await page.get_by_role("button", name="Choose pictures").click()
    await expect(chosen).to_be_hidden()
    for stage, position in ((0, 0), (0, 2), (1, 1), (0, 0)):
        await page.locator(f"[data-stage='{stage}'] [data-position='{position}'] a").click()
    await expect(page.locator("[data-lighttable]")).to_be_hidden()
    await expect(chosen).to_have_text("Download 2 chosen")
    assert await violations(page) == []
    with await taken_home(page, chosen) as package:
        assert package.namelist() == ["stage-1_003.webp", "stage-2_002.webp", "manifest.json", "manifest.csv"]
        pictures = [package.read(name) for name in package.namelist()[:2]]
        told = json.loads(package.read("manifest.json"))["pictures"]
    by_id = {image.attach_id: image for image in await api.parts.records.delivered_images(job_id, 0, 9)}
    images = [by_id[one["attach_id"]] for one in told]
    assert [(image.stage_index, image.ordinal) for image in images] == [(0, 2), (1, 1)]
    assert pictures == [await api.parts.storage.get(image.path) for image in images]
    await page.keyboard.press("Escape")
    await expect(page.locator("[data-chosen]")).to_have_count(0)
    await expect(chosen).to_be_hidden()
    await page.locator("[data-stage='0'] [data-position='0'] a").click()
    await expect(page.locator("[data-lighttable]")).to_be_visible()


async def test_a_lost_connection_is_said_and_heals(page: Page, pictures: ApiStack) -> None:
    job_id = await pictures.order(5, 1)
    async with running_line(int(pictures.url.rpartition(":")[2])) as (line, address):
        await page.goto(f"{address}/jobs/{job_id}")
        await until_states(page, making=6)
        line.cut()
        await expect(page.locator("[data-offline]")).to_be_visible()
        pictures.provider.gate.set()
        await pictures.ended_row(job_id)
        assert (await states(page))["delivered"] == 0
        line.mend()
        await until_states(page, delivered=6)
        await expect(page.locator("[data-offline]")).to_be_hidden()
        await expect(page.locator("[data-count]")).to_have_text("6 of 6")


async def test_a_reload_in_the_middle_loses_nothing(page: Page, pictures: ApiStack) -> None:
    await order_two_stages(page, 5, 1)
    await until_states(page, making=6)
    await page.reload()
    await until_states(page, making=6)
    pictures.provider.gate.set()
    await until_states(page, delivered=6)
    await page.reload()
    await until_states(page, delivered=6)


async def test_an_order_half_written_survives_a_reload(page: Page, api: ApiStack) -> None:
    await page.goto("/")
    await write_stage(page, 0, "A half-written lemon", 7)
    await page.reload()
    card = page.locator("[data-stage-card]").first
    await expect(card.get_by_label("Prompt")).to_have_value("A half-written lemon")
    await expect(card.get_by_label("Pictures", exact=True)).to_have_value("7")


async def test_the_price_is_shown_before_ordering_and_mistakes_at_their_field(page: Page, api: ApiStack) -> None:
    await page.goto("/")
    await write_stage(page, 0, "A lemon", 7)
    await expect(page.locator("main")).to_contain_text("140 credits")
    await write_stage(page, 0, "A lemon", 0)
    await page.get_by_role("button", name="Order", exact=True).click()
    await expect(page.locator("[data-stage-card]").first).to_contain_text("Enter a number between 1 and 10,000")
    assert "/jobs/" not in page.url
    assert await api.parts.records.job_page(10) == []


async def test_a_double_click_orders_once(page: Page, api: ApiStack) -> None:
    await page.goto("/")
    await write_stage(page, 0, "A lemon", 1)
    await page.get_by_role("button", name="Order", exact=True).dblclick()
    await page.wait_for_url("**/jobs/*")
    assert len(await api.parts.records.job_page(10)) == 1


async def test_a_picture_opens_large_and_the_keyboard_walks_on(page: Page, api: ApiStack) -> None:
    await order_two_stages(page, 2, 1)
    await until_states(page, delivered=3)
    await page.reload()
    await expect(page.locator("[data-choose]")).to_be_visible()
    opener = page.locator("[data-stage='0'] [data-position='1']").locator("button, a").first
    await opener.focus()
    await page.keyboard.press("Enter")
    table = page.locator("dialog[data-lighttable]")
    await expect(table).to_be_visible()
    await expect(table).to_contain_text("A lemon on a table")
    await expect(table).to_contain_text("2 of 3")
    await page.keyboard.press("ArrowRight")
    await expect(table).to_contain_text("A blue vase")
    await page.keyboard.press("Escape")
    await expect(table).to_be_hidden()
    assert await page.evaluate("document.activeElement.closest('[data-frame]') !== null")


async def test_prompts_are_text_and_never_markup(page: Page, api: ApiStack) -> None:
    prompt = "<img src=x onerror='document.title=\"stolen\"'><script>document.title='stolen'</script>"
    await page.goto("/")
    await write_stage(page, 0, prompt, 1)
    await page.get_by_role("button", name="Order", exact=True).click()
    await page.wait_for_url("**/jobs/*")
    await until_states(page, delivered=1)
    await page.reload()
    await expect(page.locator("[data-stage='0']")).to_contain_text("<img src=x onerror=")
    await page.goto("/jobs")
    await expect(page.locator("main")).to_contain_text("<img src=x onerror=")
    assert "stolen" not in await page.title()


async def test_the_first_paint_needs_no_script(context: BrowserContext, api: ApiStack) -> None:
    job_id = await api.order(3)
    await api.ended(job_id)
    quiet = await context.browser.new_context(java_script_enabled=False, base_url=api.url)  # type: ignore[union-attr]  # it has one
    page = await quiet.new_page()
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator("[data-count]")).to_have_text("3 of 3")
    await expect(page.locator("[data-frame][data-state='delivered'] img")).to_have_count(3)
    await quiet.close()


async def test_a_job_that_waits_has_all_its_frames(page: Page, api: ApiStack) -> None:
    job_id = uuid4()
    stages: list[JsonValue] = [{"prompt": "a lemon", "quantity": 3}, {"prompt": "a vase", "quantity": 2}]
    await api.parts.records.create_job(
        NewJob(
            job_id=job_id,
            job_type="pipeline_stage",
            user_id=LOCAL_USER,
            production_id=None,
            document={"stages": stages},
            total_images=5,
            priority=3,
        )
    )
    await page.goto(f"/jobs/{job_id}")
    await until_states(page, waiting=5)
    await expect(page.locator("[data-count]")).to_have_text("0 of 5")
    await api.parts.client(api.temporal).start_waiting_jobs()
    await until_states(page, delivered=5)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
async def test_axe_finds_nothing_on_any_page(page: Page, api: ApiStack, scheme: str) -> None:
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]  # a literal each
    api.provider.script = {(0, 2): [Act.REFUSE] * 9, (0, 3): [Act.MISS]}
    job_id = await order_two_stages(page, 4, 2)
    await api.ended(job_id)
    found = {}
    for path in ("/", f"/jobs/{job_id}", "/jobs", "/stats", "/sign-in", "/jobs/not-there"):
        await page.goto(path)
        found[path] = await violations(page)
    assert found == {path: [] for path in found}


async def test_it_fits_a_phone(context: BrowserContext, page: Page, api: ApiStack) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    job_id = await order_two_stages(page, 9, 2)
    await api.ended(job_id)
    for width in (390, 320):
        await page.set_viewport_size({"width": width, "height": 844})
        for path in ("/", f"/jobs/{job_id}", "/jobs", "/stats"):
            await page.goto(path)
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{path} is {wide} px too wide at {width}"
    await page.goto(f"/jobs/{job_id}")
    small = await page.get_by_role("button").evaluate_all(
        "all => all.filter(one => one.offsetParent).map(one => one.getBoundingClientRect())"
        ".filter(box => box.height < 44 && box.width < 44).length"
    )
    assert small == 0
    assert await violations(page) == []
