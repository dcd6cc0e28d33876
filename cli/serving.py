"""The API's process beside the worker: jobs do not depend on what it does or how it ends."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic

import structlog

from cli.statuses import Status
from darkroom.embedded import processes
from darkroom.embedded.ports import usable_port
from darkroom.settings import Settings

log = structlog.get_logger("darkroom.up")

ROOT = Path(__file__).parents[1]
START_PATIENCE = 10.0
"""Seconds that others wait for it to listen; it goes on starting after that."""
CONNECT_PATIENCE = 1.0
STOP_PATIENCE = 15.0
"""Above the API's own grace period for requests in progress."""
START_AGAIN_AFTER = 1.0
START_AGAIN_AT_MOST = 30.0
RAN_WELL_AFTER = 60.0
"""Seconds after which an exit is unrelated to the one before it."""
_NEEDS_FIXING = (Status.WRONG_INPUT, Status.NOT_NOW)
"""Invalid settings, or a port in use: a restart would fail in the same way."""


@asynccontextmanager
async def running_api(settings: Settings, port: int) -> AsyncIterator["ApiProcess"]:
    """Run `python -P -m darkroom.api` while the context lasts; one that ends by itself is started again.

    Raises:
        PortTaken: the port is in use.
    """
    usable_port(port, "--api-port", any_port=False)
    child = ApiProcess(settings, port)
    await child.start()
    watching = asyncio.create_task(child.start_again_when_it_ends())
    try:
        yield child
    finally:
        watching.cancel()
        await child.stop()


class ApiProcess:
    """The process, from its start to its end.

    Args:
        settings: passed on, with a folder that holds wherever it is started.
        port: where it listens.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._address = settings.api_host.strip("[]"), port
        # A checkout that is not installed is found by this alone: -P keeps out the folder we were started from,
        # which may hold a darkroom.py or an api.py of the user's.
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        home = str(settings.darkroom_home.absolute())
        self._environment = {**os.environ, "API_PORT": str(port), "DARKROOM_HOME": home, "PYTHONPATH": path}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it."""
        self._process = await processes.start_tied(
            [sys.executable, "-P", "-m", "darkroom.api"], environment=self._environment
        )

    async def listens(self) -> bool:
        """Wait until it accepts connections; False when it has ended, or takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_PATIENCE):
                while self._process is not None and self._process.returncode is None:
                    # UnicodeError: a host name that cannot be one.
                    with suppress(OSError, UnicodeError, TimeoutError):
                        async with asyncio.timeout(CONNECT_PATIENCE):
                            _, writer = await asyncio.open_connection(*self._address)
                        writer.close()
                        return True
                    await asyncio.sleep(0.05)
        return False

    async def start_again_when_it_ends(self) -> None:
        """Start it again whenever it ends, unless that would end in the same way."""
        delay = START_AGAIN_AFTER
        while self._process is not None:
            started = monotonic()
            status = await self._process.wait()
            if status in _NEEDS_FIXING:
                log.error("API not restarted: fix the error above and start again; jobs run without it", status=status)
                return
            log.warning("API exited, restarting it", status=status)
            if monotonic() - started > RAN_WELL_AFTER:
                delay = START_AGAIN_AFTER
            await asyncio.sleep(delay)
            delay = min(2 * delay, START_AGAIN_AT_MOST)
            await self.start()

    async def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            await processes.stop(process, STOP_PATIENCE)
