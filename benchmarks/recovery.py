"""How soon lost work is in progress again after a kill -9: `python -m benchmarks.recovery`.

A job has as many provider calls in progress as it has pictures. The processes are killed and started again at once; the
clock runs from that start until each of the lost calls has been begun anew. `busy` is the same in the middle of a job
whose calls are short, so that every step of an image is lost somewhere.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from darkroom.embedded.ports import free_port
from darkroom.embedded.processes import start_tied
from darkroom.embedded.server import ServerProcess

ROOT = Path(__file__).parents[1]
PICTURES = 20
LONG_CALL, SHORT_CALL = "60", "0.5-1.5"
BUSY_PICTURES, BUSY_AFTER = 600, 60
PATIENCE = 60.0
ORDER_ATTEMPTS = 10


class Killed:
    """`darkroom up` in a folder of its own, or a worker beside a server that lives on."""

    def __init__(self, home: Path, *, whole: bool, latency: str) -> None:
        self._home = home
        self._whole = whole
        self._ports = free_port(), free_port(), free_port()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "DARKROOM_HOME": str(home),
            "IMAGE_PROVIDER": "offline",
            "OFFLINE_LATENCY": latency,
            "OFFLINE_SIZE": "64x64",
            "STAGE_CONCURRENCY": str(PICTURES),
        }
        self._server: ServerProcess | None = None
        self._killed: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start what is killed; the first time, the server as well that is not."""
        if self._whole:
            port, ui, api = map(str, self._ports)
            words = "starter.py", "up", "--port", port, "--ui-port", ui, "--api-port", api
            self._killed = await self._program(*words)
            return
        if self._server is None:
            self._server = ServerProcess(self._home, *self._ports[:2], "http://127.0.0.1:8233")
            await self._server.until_it_answers(await self._server.start())
            self._environment["TEMPORAL_ADDRESS"] = f"127.0.0.1:{self._ports[0]}"
        self._killed = await self._program("worker.py")

    async def _program(self, *words: str) -> asyncio.subprocess.Process:
        command = [sys.executable, str(ROOT / words[0]), *words[1:]]
        return await start_tied(command, self._home / f"{words[0]}.log", self._environment, self._home)

    async def order(self, pictures: int) -> None:
        """A job, once everything is up."""
        order = self._home / "order.json"
        order.write_text(json.dumps({"prompt": "a lighthouse", "quantity": pictures}), "utf-8")
        await until((self._home / "records.db").exists)
        for _ in range(ORDER_ATTEMPTS):
            submitted = await self._program("starter.py", "submit", str(order), "--anonymous")
            if await submitted.wait() == 0:
                return
        raise RuntimeError("no server takes the order")

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._killed is not None
        self._killed.kill()
        await self._killed.wait()

    async def end(self) -> None:
        """Kill all of it."""
        if self._killed is not None and self._killed.returncode is None:
            await self.kill()
        if self._server is not None:
            await self._server.stop()


def rows(home: Path, statement: str) -> list[tuple[Any, ...]]:
    """What the records say; nothing while there are none."""
    try:
        with closing(sqlite3.connect(f"file:{home / 'records.db'}?mode=ro", uri=True, timeout=5)) as db:
            return db.execute(statement).fetchall()
    except sqlite3.OperationalError:
        return []


async def until(condition: Callable[[], bool]) -> float:
    """Wait until it holds; how many seconds that took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > PATIENCE:
            raise TimeoutError
        await asyncio.sleep(0.02)
    return time.monotonic() - began


OPEN = "select stage_index, ordinal, count(*) from quel_generation_attempts where outcome is null group by 1, 2"
LAST = "select stage_index, ordinal, count(*), max(outcome is not null) from quel_generation_attempts group by 1, 2"
DELIVERED = "select stage_index, ordinal from quel_attach where delivered_at is not null"


async def measured(*, whole: bool, busy: bool) -> float:
    """One kill; the seconds from the restart until all that was lost is in progress again, or done."""
    with tempfile.TemporaryDirectory(prefix="darkroom-recovery-") as folder:
        home = Path(folder)
        stack = Killed(home, whole=whole, latency=SHORT_CALL if busy else LONG_CALL)
        try:
            await stack.start()
            await stack.order(BUSY_PICTURES if busy else PICTURES)
            if busy:
                await until(lambda: len(rows(home, DELIVERED)) >= BUSY_AFTER)
            else:
                await until(lambda: len(rows(home, OPEN)) == PICTURES)
            await stack.kill()
            lost = {(stage, ordinal): calls for stage, ordinal, calls in rows(home, OPEN)}
            restarted = time.monotonic()
            await stack.start()

            def again() -> bool:
                calls = {(stage, ordinal): count for stage, ordinal, count, _ in rows(home, LAST)}
                done = set(rows(home, DELIVERED))
                return all(calls[image] > before or image in done for image, before in lost.items())

            await until(again)
            return time.monotonic() - restarted
        finally:
            await stack.end()


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("up", "worker"), action="append")
    parser.add_argument("--busy", action="store_true", help="in the middle of a job of short calls")
    given = parser.parse_args()
    for killed in given.only or ("worker", "up"):
        found = [asyncio.run(measured(whole=killed == "up", busy=given.busy)) for _ in range(given.rounds)]
        seconds = " ".join(f"{one:.1f}" for one in found)
        print(f"{killed:<7} killed: {seconds} s, median {median(found):.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
