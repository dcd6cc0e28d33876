"""The examples do what they say, against a running stack."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
from PIL import Image
from standardwebhooks import Webhook

from tests.cli.test_stack import STARTER
from tests.examples.conftest import EXAMPLES, Stack, Start, answers
from tests.page.test_modules import node
from tests.support.browser.line import running_line
from tests.support.ports import free_port
from tests.support.until import until

pytestmark = pytest.mark.xdist_group("examples")

LANGUAGES = ("python", "javascript")


def follower(language: str) -> list[str]:
    return [sys.executable, "follow.py"] if language == "python" else [node(), "follow.mjs"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_is_followed_to_its_end(stack: Stack, language: str) -> None:
    ended = stack.run(*follower(language), stack.order(3))
    assert (ended.returncode, ended.stderr) == (0, "")
    *pictures, last = ended.stdout.splitlines()
    assert last == "completed: 3 of 3 pictures"
    numbers, addresses = zip(*(line.removeprefix("picture ").split(": ", 1) for line in pictures), strict=True)
    assert numbers == ("1", "2", "3")
    for address in addresses:
        assert httpx.get(address, trust_env=False).headers["content-type"] == "image/webp"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_that_is_not_there_is_said_in_words(stack: Stack, language: str) -> None:
    ended = stack.run(*follower(language), str(uuid4()))
    assert ended.returncode == 1
    assert "there is no job" in ended.stderr


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("wrong", ["nobody listens", "not the API"])
def test_a_wrong_address_is_said_and_not_tried_for_ever(stack: Stack, language: str, wrong: str) -> None:
    url = f"http://127.0.0.1:{free_port()}" if wrong == "nobody listens" else f"{stack.url}/static/job.css?"
    ended = stack.run(*follower(language), str(uuid4()), DARKROOM_URL=url)
    assert ended.returncode == 1
    assert re.search(r"(cannot be reached: .+|is not Darkroom's API: HTTP 200); check DARKROOM_URL", ended.stderr)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_that_ends_short_is_told_by_the_exit_status(stack: Stack, language: str) -> None:
    job = stack.order(500)
    httpx.post(f"{stack.url}/api/jobs/{job}/cancel", trust_env=False)
    ended = stack.run(*follower(language), job)
    assert ended.returncode == 1
    assert re.search(r"^cancelled: \d+ of 500 pictures$", ended.stdout, re.MULTILINE)


@asynccontextmanager
async def following(stack: Stack, language: str, job: str, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *follower(language),
        job,
        cwd=EXAMPLES,
        env={**stack.environment, "DARKROOM_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("language", [pytest.param("python", marks=pytest.mark.slow), "javascript"])
async def test_after_a_lost_connection_no_picture_is_told_twice_or_left_out(stack: Stack, language: str) -> None:
    job = stack.order(40)
    port = httpx.URL(stack.url).port
    assert port is not None
    async with running_line(port) as (line, url), following(stack, language, job, url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = [await asyncio.wait_for(process.stdout.readline(), 30)]
        line.cut()
        assert (await asyncio.wait_for(process.stderr.readline(), 30)).startswith(b"reconnecting: ")
        line.mend()
        told += (await asyncio.wait_for(process.stdout.read(), 60)).splitlines()
        await process.wait()
    assert told[-1].strip() == b"completed: 40 of 40 pictures"
    assert [int(line.split()[1].rstrip(b":")) for line in told[:-1]] == list(range(1, 41))


def test_the_order_is_delivered_with_its_reference(stack: Stack) -> None:
    [command] = re.findall(r"^# darkroom (submit .*)$", (EXAMPLES / "order.yaml").read_text("utf-8"), re.MULTILINE)
    ended = stack.run(*STARTER, *command.split(), "--json")
    assert ended.returncode == 0, ended.stderr
    assert "ignored" not in ended.stderr
    job = json.loads(ended.stdout)["job_id"]
    assert (json.loads(ended.stdout)["status"], json.loads(ended.stdout)["completed_images"]) == ("completed", 5)
    ordered = httpx.get(f"{stack.url}/api/jobs/{job}/order", trust_env=False).json()
    assert [len(stage["individual_image_attach_ids"]) for stage in ordered["document"]["stages"]] == [1, 0]


def test_webhooks_are_verified_and_told_once(stack: Stack, start: Start) -> None:
    secret = stack.run(*STARTER, "webhooks", "secret").stdout.strip()
    process, port = start("webhook_receiver.py", WEBHOOK_SECRET=secret)
    assert process.stdout is not None
    assert process.stdout.readline() == f"listening on http://127.0.0.1:{port}\n"
    job = stack.order(2, webhook_url=f"http://127.0.0.1:{port}/")
    assert process.stdout.readline() == f"job.completed: job {job}, 2 of 2 pictures\n"

    event = {"type": "job.failed", "data": {"job_id": "17", "completed_images": 0, "total_images": 1}}
    body, moment = json.dumps(event), datetime.now(UTC)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(moment.timestamp()))}
    for signed_with, status in ((secret, 204), (secret, 204), ("whsec_" + "c2VjcmV0" * 4, 400)):
        headers["webhook-signature"] = Webhook(signed_with).sign("msg_1", moment, body)
        answer = httpx.post(f"http://127.0.0.1:{port}/", content=body, headers=headers, trust_env=False)
        assert answer.status_code == status
    assert process.stdout.readline() == "job.failed: job 17, 0 of 1 pictures\n"
    assert process.stdout.readline().startswith("rejected: ")


@pytest.mark.slow
async def test_the_mounted_api_serves_and_follows_under_its_path(stack: Stack, start: Start) -> None:
    process, port = start("mount.py")
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:

        async def ready() -> bool:
            assert process.poll() is None, "the application ended"
            return await answers(f"{url}/pictures")

        await until(ready, "the application to answer", 30)
        assert (await http.get("/")).json() == {"pictures": "/pictures/"}
        assert (await http.get("/pictures/")).status_code == 200
        ordered = await http.post("/pictures/api/jobs", json={"stages": [{"prompt": "a lemon", "quantity": 2}]})
        job = ordered.json()["job_id"]
        ended = await asyncio.to_thread(stack.run, *follower("python"), job, DARKROOM_URL=f"{url}/pictures")
        assert ended.returncode == 0, ended.stderr
        first = ended.stdout.splitlines()[0].partition(": ")[2]
        assert first.startswith(f"{url}/pictures/pictures/")
        assert (await http.get(first)).status_code == 200


def test_the_readme_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    files = {file.name for file in EXAMPLES.iterdir() if file.is_file()} - {"README.md"}
    assert [name for name in sorted(files) if f"({name})" not in text] == []


@pytest.mark.parametrize(("name", "comment"), [("follow.py", "#"), ("follow.mjs", "//")])
def test_following_takes_forty_lines(name: str, comment: str) -> None:
    lines = (EXAMPLES / name).read_text("utf-8").splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith(comment)]) <= 40


def test_the_picture_is_small_and_says_nothing_of_its_maker() -> None:
    file = EXAMPLES / "lemon.jpg"
    assert file.stat().st_size < 30 * 1024
    with Image.open(file) as picture:
        assert not picture.getexif()
        assert {name for name in picture.info if not str(name).startswith("jfif")} == set()
