"""Temporal's dev server, for tests: in memory for many of them, or on a file that it goes on with after a kill."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import TimeSkipper

from darkroom.domain.names import SearchAttribute
from darkroom.embedded.launching import CONCURRENT_QUERIES, PROMPT_TASKS
from darkroom.embedded.processes import start_tied, stop
from darkroom.embedded.server import ServerProcess
from tests.support.ports import HOST, free_port
from tests.support.programs import temporal_binary
from tests.support.until import until


def suggesting_to_continue_after(events: int) -> tuple[str, str]:
    """An option of the server: it suggests that a workflow continues as new after so many events (4,096)."""
    return "--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={events}"


PATIENCE = 60.0
"""Seconds: it is up in 0.2, but four at once on a busy machine took more than the 5 that the SDK waits."""


@asynccontextmanager
async def running_temporal(*arguments: str, identity: str | None = None) -> AsyncIterator[Client]:
    """A client of a new server in memory; it runs while the context lasts."""
    address = f"{HOST}:{free_port()}"
    command = [temporal_binary(), "server", "start-dev", "--headless", "--ip", HOST, "--port", address.split(":")[1]]
    command += [word for name in SearchAttribute for word in ("--search-attribute", f"{name}=Keyword")]
    command += [word for value in (*PROMPT_TASKS, *CONCURRENT_QUERIES) for word in ("--dynamic-config-value", value)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "temporal.log")
        process = await start_tied([*command, "--log-level", "error", *arguments], log)
        try:
            yield await _connected(address, process, log, identity=identity)
        finally:
            await stop(process, PATIENCE)


@asynccontextmanager
async def running_skipping_temporal(*arguments: str, identity: str | None = None) -> AsyncIterator[Client]:
    """The same, with time skipping: timers of what is started with this client pass at once while nothing runs.

    The older test server (Java) was tried: its long polls end in virtual time, and a job of twenty images
    with retries took a minute.
    """
    option = ("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true")
    async with running_temporal(*option, *arguments, identity=identity) as client:
        yield TimeSkipper(client).client


async def _connected(address: str, process: asyncio.subprocess.Process, log: Path, **options: Any) -> Client:
    host, port = address.split(":")

    def why() -> str:
        return f"the Temporal server ended at its start: {log.read_text('utf-8')}"

    async def answers() -> bool:
        assert process.returncode is None, why()
        try:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            client = await Client.connect(address)
            return await client.service_client.check_health()
        except (OSError, RuntimeError):
            return False

    await until(answers, "the Temporal server to answer", PATIENCE)
    return await Client.connect(address, data_converter=pydantic_data_converter, **options)


class TemporalServer:
    """The dev server on its own file: killed, it goes on where it was."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ports = free_port(), free_port()
        self._process: asyncio.subprocess.Process | None = None
        self.address = f"{HOST}:{self._ports[0]}"

    async def start(self) -> None:
        running = ServerProcess(self._home, *self._ports, "http://127.0.0.1:8233")
        await running.until_it_answers(await running.start())
        self._process = running.process

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
