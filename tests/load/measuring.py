"""What an attack costs: the API's memory, that of the processes for uploads, and the slowest ordinary answer."""

import asyncio
import io
import json
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
import psutil
from PIL import Image

from tests.load.attacks import ATTACKS
from tests.support.commands import ROOT

MB = 1_000_000
SECONDS = 10.0
"""Of an attack, at least."""
EACH = 3
"""Kinds of what is asked."""
WITHOUT = 2.0
"""Seconds before and after it for which the same is asked."""


@dataclass
class Figures:
    """What one attack did."""

    name: str
    api_mb: float = 0
    """The API's own process, at its largest."""
    upload_mb: float = 0
    """The largest of the processes for uploads."""
    took: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of each ordinary answer during the attack, by what was asked."""
    took_without: dict[str, list[float]] = field(default_factory=dict)
    """The same just before and just after it."""
    came: dict[str, int] = field(default_factory=dict)
    """What the enemy got: how often each status."""
    errors: str = ""
    """What the API wrote to its log."""

    @property
    def slowest(self) -> float:
        """Seconds of the slowest ordinary answer during the attack."""
        return max(map(max, self.took.values()))

    @property
    def slowest_without(self) -> float:
        """The same just before and just after it."""
        return max(map(max, self.took_without.values()))

    def __str__(self) -> str:
        came = ", ".join(f"{count:,} x {status}" for status, count in sorted(self.came.items()))
        took = ", ".join(
            f"{what} {_in_ms(self.took[what])} (without {_in_ms(self.took_without[what])})"
            for what in sorted(self.took)
        )
        return (
            f"{self.name:18} API {self.api_mb:4.0f} MB  upload {self.upload_mb:4.0f} MB  median/slowest ms: {took}"
            f"  the enemy got {came or 'nothing'}"
        )


def _in_ms(took: list[float]) -> str:
    return f"{median(took) * 1000:.0f}/{max(took) * 1000:.0f}"


@dataclass
class Served:
    """An API in a process of its own."""

    url: str
    keys: list[str]
    process: psutil.Process
    log: Path


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    """Start one with three users."""
    log = folder / "log"
    with log.open("wb") as errors:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.load.server", str(folder / "home"), "3"),
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
        )
    assert started.stdout is not None
    line = await started.stdout.readline()
    assert line, log.read_text()
    said = json.loads(line)
    try:
        yield Served(said["url"], said["keys"], psutil.Process(said["pid"]), log)
    finally:
        started.terminate()
        await started.wait()


@contextmanager
def memory_of(api: Served, figures: Figures) -> Iterator[None]:
    """Watch the memory meanwhile."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            figures.api_mb = max(figures.api_mb, api.process.memory_info().rss / MB)
            for child in api.process.children():
                try:
                    figures.upload_mb = max(figures.upload_mb, child.memory_info().rss / MB)
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


async def ordinary(http: httpx.AsyncClient, key: str, number: int, took: dict[str, list[float]]) -> None:
    """Take the seconds of one of the things that another user asks: a list, a quote, a small upload."""
    user = {"Authorization": f"Bearer {key}"}
    started = time.monotonic()
    match number % 3:
        case 0:
            what, answer = "list", await http.get("/api/jobs", headers=user)
        case 1:
            order = {"stages": [{"prompt": "a chair", "quantity": 4}]}
            what, answer = "quote", await http.post("/api/jobs/quote", json=order, headers=user)
        case _:
            what, answer = "upload", await http.post("/api/attachments", files={"file": _small(number)}, headers=user)
    assert answer.is_success, answer.text
    took.setdefault(what, []).append(time.monotonic() - started)


def _small(number: int) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, number // 256 % 256, 0)).save(target, "PNG")
    return target.getvalue()


async def without_attack(http: httpx.AsyncClient, key: str, number: int, figures: Figures) -> int:
    """Ask for a while, from a number on; the number to go on with."""
    ends, least = time.monotonic() + WITHOUT, number + EACH
    while time.monotonic() < ends or number < least:
        number += 1
        await ordinary(http, key, number, figures.took_without)
    return number


async def measured(name: str) -> Figures:
    """Attack an API of its own."""
    figures = Figures(name)
    with tempfile.TemporaryDirectory() as folder:
        async with served(Path(folder)) as api, httpx.AsyncClient(base_url=api.url, timeout=120) as http:
            await ordinary(http, api.keys[1], 2, {})  # starts a process for uploads
            number = await without_attack(http, api.keys[1], 0, figures)
            enemy = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.load.attacks", name, api.url, api.keys[0], str(SECONDS)),
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
            )
            assert enemy.stdout is not None
            assert await enemy.stdout.readline() == b"ready\n"
            with memory_of(api, figures):
                result = asyncio.create_task(enemy.stdout.read())
                while not result.done() or len(figures.took) < EACH:
                    number += 1
                    await ordinary(http, api.keys[1], number, figures.took)
                    await asyncio.wait([result], timeout=0.1)  # 600 changes a minute are what a user has
            await without_attack(http, api.keys[1], number, figures)
            figures.came = json.loads(result.result())
            await enemy.wait()
            figures.errors = api.log.read_text()
    return figures


async def main(*names: str) -> None:
    """Measure all of them, or those that are named."""
    for name in names or ATTACKS:
        print(await measured(name), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
