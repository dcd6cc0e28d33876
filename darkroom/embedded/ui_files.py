"""The Web UI's files, from a server in memory that runs while somebody looks at them."""

import asyncio
import contextlib
import tempfile
from pathlib import Path
from time import monotonic

from darkroom.domain.errors import ServerNotReachable
from darkroom.embedded.launching import HOST, child_environment, ui_command
from darkroom.embedded.ports import NoPort, free_port
from darkroom.embedded.processes import start_tied, stop

IDLE = 600.0
"""Seconds without a request after which it is stopped: it takes 150 MB."""
START_PATIENCE = 30.0
STOP_PATIENCE = 5.0


class UiFiles:
    """Starts the server at the first request, and stops it when nobody asked for a while."""

    def __init__(self, log_file: Path, idle: float = IDLE) -> None:
        self._log_file = log_file
        self._idle = idle
        self._starting = asyncio.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="darkroom-ui-")
        self._url = ""
        self._used = 0.0
        self._watch: asyncio.Task[None] | None = None
        self.process: asyncio.subprocess.Process | None = None
        """The running server, if any."""

    async def address(self) -> str:
        """The URL of the running server, which is started if need be.

        Raises:
            ServerNotReachable: it did not come up.
        """
        self._used = monotonic()
        async with self._starting:
            if self.process is None or self.process.returncode is not None:
                await self._start()
        return self._url

    async def close(self) -> None:
        """Stop the server."""
        if self._watch is not None:
            self._watch.cancel()
        await self._stop()
        self._folder.cleanup()

    async def _start(self) -> None:
        try:
            port, ui_port = free_port(), free_port()
        except NoPort as error:
            raise ServerNotReachable(str(error)) from None
        self.process = await start_tied(
            ui_command(port, ui_port), self._log_file, child_environment(), Path(self._folder.name)
        )
        self._url = f"http://{HOST}:{ui_port}"
        try:
            async with asyncio.timeout(START_PATIENCE):
                await self._until_it_listens(ui_port)
        except (TimeoutError, ServerNotReachable):
            await self._stop()
            raise ServerNotReachable(f"the Web UI did not start; {self._log_file.name} says why") from None
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._stop_when_idle())

    async def _until_it_listens(self, port: int) -> None:
        while self.process is not None and self.process.returncode is None:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise ServerNotReachable

    async def _stop_when_idle(self) -> None:
        while True:
            await asyncio.sleep(max(0, self._used + self._idle - monotonic()))
            async with self._starting:
                # Somebody may have come while we waited for the lock.
                if self._used + self._idle <= monotonic():
                    await self._stop()
                    return

    async def _stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                await stop(process, STOP_PATIENCE)
