"""The API in a process of its own: what happens to it is no matter to the jobs."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cli.test_stack import STARTER, environment, first_document, ports_of_its_own
from tests.support.commands import ROOT, run
from tests.support.ports import free_port
from tests.support.stacks.api import Event, parsed
from tests.support.stacks.process import ProcessStack, running_darkroom
from tests.support.until import until

PICTURES = 20


@asynccontextmanager
async def api_process(darkroom: ProcessStack, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m darkroom.api` beside a worker, killed at the end."""
    with (darkroom.home / "api.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "darkroom.api"),
            env={**darkroom.environment, "API_PORT": str(port)},
            stdout=log,
            stderr=log,
        )
    try:
        await until(lambda: answers(port), "the API to answer", 30)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def answers(port: int) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def follow(port: int, job: str, last_event_id: str | None, told: list[Event]) -> None:
    """Take events until the stream ends or breaks."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    url = f"http://127.0.0.1:{port}/api/jobs/{job}/events"
    async with (
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
        http.stream("GET", url, headers=headers) as answer,
    ):
        async for event in parsed(answer.aiter_lines()):
            told.append(event)  # noqa: PERF401 - what came before the line broke counts


def numbers(events: list[Event]) -> list[int]:
    return [event.data["number"] for event in events if event.name == "image"]


@pytest.mark.slow
async def test_killed_in_the_middle_of_a_job_it_is_missed_by_nobody_but_its_callers(tmp_path: Path) -> None:
    async with running_darkroom(tmp_path) as darkroom:
        await darkroom.worker.start({"OFFLINE_LATENCY": "0.3-0.6", "STAGE_CONCURRENCY": "4"})
        port = free_port()
        before: list[Event] = []
        async with api_process(darkroom, port) as api:
            document = {"stages": [{"prompt": "a lemon", "quantity": PICTURES}]}
            async with httpx.AsyncClient(trust_env=False) as http:
                ordered = await http.post(f"http://127.0.0.1:{port}/api/jobs", json=document)
            job_id = ordered.json()["job_id"]
            following = asyncio.create_task(follow(port, job_id, None, before))

            async def some_came() -> bool:
                return len(numbers(before)) >= 5

            await until(some_came, "the first pictures")
            api.send_signal(signal.SIGKILL)
            await api.wait()
            with pytest.raises(httpx.TransportError):
                await following
        assert len(numbers(before)) < PICTURES
        after: list[Event] = []
        async with api_process(darkroom, port):
            await follow(port, job_id, before[-1].id, after)
        assert numbers(before) + numbers(after) == list(range(1, PICTURES + 1))
        assert after[-1].name == "end"
        assert after[-1].data["status"] == "completed"
        assert darkroom.worker.events("image missed") == []
        await darkroom.check_invariants()


async def test_it_ends_streams_and_leaves_in_order_when_it_is_told_to(tmp_path: Path) -> None:
    async with running_darkroom(tmp_path) as darkroom:
        port = free_port()
        told: list[Event] = []
        async with api_process(darkroom, port) as api:
            document = {"stages": [{"prompt": "a lemon", "quantity": 1}]}
            async with httpx.AsyncClient(trust_env=False) as http:
                job_id = (await http.post(f"http://127.0.0.1:{port}/api/jobs", json=document)).json()["job_id"]
            following = asyncio.create_task(follow(port, job_id, None, told))

            async def some_event() -> bool:
                return bool(told)

            await until(some_event, "the first event")
            api.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(api.wait(), 5) == 0
            await following  # ended, not broken
        assert "end" not in [event.name for event in told]


async def test_told_twice_it_leaves_without_a_traceback(tmp_path: Path) -> None:
    async with running_darkroom(tmp_path) as darkroom:
        port = free_port()
        async with api_process(darkroom, port) as api:
            # Two kinds, because two of one kind may arrive as one.
            api.send_signal(signal.SIGTERM)
            api.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(api.wait(), 5) == 0
        said = (darkroom.home / "api.log").read_text()
        assert "api stopped" in said
        assert "Traceback" not in said


async def test_wrong_settings_stop_it_with_one_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    base = {"PATH": os.environ["PATH"], "DARKROOM_HOME": str(home), "PYTHONPATH": str(ROOT)}
    ended = await run(sys.executable, "-m", "darkroom.api", environment={**base, "API_HOST": "0.0.0.0"}, seconds=20)
    assert ended.status == 2
    assert ended.err.startswith("error: API_HOST=0.0.0.0: ")
    assert "keys create" in ended.err
    assert len(ended.err.splitlines()) == 1
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = await run(sys.executable, "-m", "darkroom.api", environment={**base, "API_PORT": port}, seconds=20)
    assert (ended.status, len(ended.err.splitlines())) == (5, 1)
    assert f"API_PORT={port}" in ended.err


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `up`, and the address of its page."""
    with (
        (tmp_path / "up.log").open("w") as log,
        subprocess.Popen(
            [*STARTER, "up", "--json", *ports_of_its_own()],
            env=environment(tmp_path / "home"),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield process, first_document(process)["page"]
        finally:
            process.kill()


async def test_up_serves_the_page_and_starts_the_api_again_when_it_dies(
    up: tuple[subprocess.Popen[str], str],
) -> None:
    process, page = up
    port = int(page.rpartition(":")[2])
    await until(lambda: answers(port), "the API to answer", 30)

    def api() -> psutil.Process:
        [found] = [
            child for child in psutil.Process(process.pid).children() if child.cmdline()[-2:] == ["-m", "darkroom.api"]
        ]
        return found

    first = api()
    first.kill()
    psutil.wait_procs([first], timeout=5)
    await until(lambda: answers(port), "the API to answer again", 30)
    second = api()
    assert second.pid != first.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not second.is_running()
