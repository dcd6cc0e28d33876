"""A picture that ends the process that decodes it ends nothing else (spec §3)."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from darkroom.decoding import children as processes
from darkroom.decoding.children import CORES, ChildDied, Children, NoChild
from darkroom.domain.errors import OrderRejected
from darkroom.orders.references import Uploads
from darkroom.pictures import NotAPicture, PictureFacts, PictureWork, UploadedPictures
from darkroom.records.sqlite import SqliteRecords
from darkroom.storage.files import FileStorage
from tests.support.commands import ROOT
from tests.support.fakes.scripted import tiny_picture
from tests.support.hostile_pictures import picture, png_of
from tests.support.poison import Poison, PoisonedPath
from tests.support.until import until

CRASHING, HANGING, UNLUCKY = tiny_picture(1), tiny_picture(2), tiny_picture(3)
HARMLESS = picture()
LITTLE_MEMORY = 80 * 1024**2
LARGE = png_of(4_000, 4_000)
"""16 MB when it is decoded, and 64 MB more as it is shown; a process without a picture has 28 MB."""


def here(expression: str) -> "Callable[[], object]":
    """Work that is this Python expression."""
    return partial(eval, expression)


SLEEPS = here("__import__('time').sleep(600)")
DIES = here("__import__('os').kill(__import__('os').getpid(), 11)")


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    opened = Children()
    yield opened
    await opened.close()


@pytest.fixture
async def poisoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PoisonedPath:
    acts = {CRASHING: Poison.CRASHES, HANGING: Poison.HANGS, UNLUCKY: Poison.CRASHES_ONCE}
    path = PoisonedPath(tmp_path / "path", acts)
    monkeypatch.setenv("PYTHONPATH", str(path.folder))
    return path


async def test_a_picture_that_kills_two_processes_is_a_miss_and_its_neighbours_are_pictures(
    poisoned: PoisonedPath, children: Children
) -> None:
    work = PictureWork(90, 2, children)
    crashing, *neighbours = await asyncio.gather(
        work.inspect(CRASHING), *(work.inspect(HARMLESS) for _ in range(8)), return_exceptions=True
    )
    assert isinstance(crashing, NotAPicture)
    assert str(crashing) == (
        "not a usable picture: two processes tried to read it, and the second crashed (Segmentation fault)"
    )
    assert neighbours == [PictureFacts(media_type="image/png", width=16, height=8)] * 8
    first, second = poisoned.processes(CRASHING)
    assert first != second
    # What is known to be harmful is not tried again: pages ask for thumbnails as often as they like.
    with pytest.raises(NotAPicture):
        await work.inspect(CRASHING)
    assert len(poisoned.processes(CRASHING)) == 2


async def test_a_picture_whose_first_process_died_by_chance_is_a_picture(
    poisoned: PoisonedPath, children: Children
) -> None:
    assert (await PictureWork(90, 2, children).inspect(UNLUCKY)).width == 8
    assert len(poisoned.processes(UNLUCKY)) == 2


async def test_a_picture_that_takes_too_long_is_a_miss(poisoned: PoisonedPath) -> None:
    children = Children(seconds=0.3)
    try:
        with pytest.raises(NotAPicture, match=r"the second took longer than 0\.3 s$"):
            await PictureWork(90, 2, children).inspect(HANGING)
        assert len(poisoned.processes(HANGING)) == 2
    finally:
        await children.close()


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory but on Linux")
async def test_a_picture_that_needs_too_much_memory_is_a_miss_or_a_rejected_upload(tmp_path: Path) -> None:
    children = Children(memory=LITTLE_MEMORY)
    work, uploaded = PictureWork(90, 2, children), UploadedPictures(LITTLE_MEMORY)
    try:
        with pytest.raises(NotAPicture, match=r"the second needed more than 0\.0781 GB of memory$"):
            await work.encode(LARGE)
        with pytest.raises(OrderRejected, match=r"big\.png: not a usable picture: .* memory$"):
            await Uploads(SqliteRecords(":memory:"), FileStorage(tmp_path), uploaded).read("big.png", LARGE)
        assert (await work.inspect(HARMLESS)).width == 16
    finally:
        await uploaded.close()
        await children.close()


async def test_no_process_starts_before_the_first_picture_and_at_most_one_a_core(children: Children) -> None:
    assert children.pids == []
    await children.run(here("1"))
    assert len(children.pids) == 1
    await asyncio.gather(*(children.run(here("__import__('time').sleep(0.01)")) for _ in range(20)))
    assert len(children.pids) <= CORES
    loaded = await children.run(here("sorted(__import__('sys').modules)"))
    assert isinstance(loaded, list)
    # What a process for pictures does not need makes each start slower, by a quarter of a second for these.
    assert not {"asyncio", "pydantic", "structlog", "temporalio", "darkroom.bootstrap"} & set(loaded)


async def test_processes_ignore_what_a_terminal_and_a_service_manager_send_to_everybody(children: Children) -> None:
    await children.run(here("1"))
    (pid,) = children.pids
    assert os.getpgid(pid) != os.getpgid(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert await children.run(here("__import__('os').getpid()")) == pid


async def test_who_is_cancelled_leaves_no_work_behind(children: Children) -> None:
    sleeping = asyncio.create_task(children.run(SLEEPS))

    async def begun() -> bool:
        return len(children.pids) == 1

    await until(begun, "the process")
    (pid,) = children.pids
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping

    async def ended() -> bool:
        return pid not in children.pids

    await until(ended, "its end")
    assert await children.run(here("1 + 1")) == 2


async def test_processes_that_cannot_start_are_no_fault_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    children = Children()
    monkeypatch.setattr(processes, "_PROGRAM", "raise SystemExit(3)")
    try:
        with pytest.raises(NoChild, match="it ended with status 3"):
            await PictureWork(90, 2, children).inspect(HARMLESS)
    finally:
        await children.close()


CROWDED = """
import asyncio, fcntl, os
from functools import partial
from darkroom.decoding.children import PIPE, Children

held = []
try:
    while len(held) < 200:
        held.append(os.pipe())
        fcntl.fcntl(held[-1][0], fcntl.F_SETPIPE_SZ, PIPE)
except PermissionError:
    held.pop()

async def main():
    children = Children()
    print(len(held) < 199, await children.run(partial(len, bytes(3_000_000))), flush=True)
    await children.close()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of pipes but on Linux")
async def test_whoever_may_have_no_more_large_pipes_gets_small_ones() -> None:
    """A user's pipes may have 64 MB together, which is 32 processes for pictures."""
    privileged = os.geteuid() == 0
    if privileged and shutil.which("setpriv") is None:
        pytest.skip("root has no such limit, and cannot become anybody else here")
    limited = ["setpriv", "--bounding-set=-sys_resource,-sys_admin"] if privileged else []
    crowded = await asyncio.create_subprocess_exec(
        *limited, sys.executable, "-c", CROWDED, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=dict(os.environ)
    )
    out, _ = await crowded.communicate()
    assert out.decode().split() == ["True", "3000000"]


async def test_what_is_left_of_an_answer_is_not_taken_for_the_next_one(children: Children) -> None:
    """A parent that runs out of memory reads half an answer."""
    unreadable = "type('Unreadable', (), {'__reduce__': lambda self: (eval, ('1 / 0',))})()"
    with pytest.raises(ZeroDivisionError):
        await children.run(here(f"({unreadable}, bytes(1_000_000))"))
    assert await children.run(here("1 + 1")) == 2


async def test_closing_ends_processes_in_the_middle_of_their_work() -> None:
    children = Children()
    sleeping = asyncio.create_task(children.run(SLEEPS))

    async def begun() -> bool:
        return len(children.pids) == 1

    await until(begun, "the process")
    (pid,) = children.pids
    await children.close()
    with pytest.raises(ChildDied):
        await sleeping
    assert not psutil.pid_exists(pid)


PARENT = """
import asyncio
from functools import partial
from darkroom.decoding.children import Children

async def main():
    children = Children()
    await children.run(partial(eval, "1"))
    asyncio.create_task(children.run(partial(eval, "__import__('time').sleep(600)")))
    await asyncio.sleep(0)
    await children.run(partial(eval, "1"))
    print(*children.pids, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(CORES < 2, reason="needs one process that works and one that waits")
async def test_processes_end_with_a_parent_that_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=dict(os.environ)
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert len(pids) == 2
    parent.kill()
    await parent.wait()

    async def gone() -> bool:
        return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)

    await until(gone, "the end of the processes for pictures", 5)
