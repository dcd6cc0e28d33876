"""The embedded Temporal server: one process, one file in DARKROOM_HOME, stopped with its parent."""

import asyncio
import contextlib
import fcntl
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, contextmanager
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from secrets import token_hex

import psutil
import structlog
from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client

from darkroom.domain.errors import DarkroomError, ServerNotReachable
from darkroom.domain.receipts import shorten
from darkroom.embedded.address import ADDRESS_FILE, EmbeddedServer, embedded_address
from darkroom.embedded.launching import DATABASE, HOST, child_environment, server_command
from darkroom.embedded.ports import free_port, listening, usable_port
from darkroom.embedded.processes import start_tied, stop
from darkroom.embedded.ui_files import UiFiles
from darkroom.settings import Settings, make_home

DEFAULT_PORT = 7233
DEFAULT_UI_PORT = 8233
RETENTION = timedelta(days=30)
START_PATIENCE = 30.0
STOP_PATIENCE = 10.0
RESTART_AFTER = 0.5
RESTART_AT_MOST = 30.0
"""Seconds before a server that ended by itself is started again: doubling, up to this."""

log = structlog.get_logger("darkroom.embedded.server")


class AlreadyUp(DarkroomError):
    """Another process runs the embedded stack in this folder."""


@asynccontextmanager
async def embedded_server(
    settings: Settings,
    *,
    port: int = DEFAULT_PORT,
    ui_port: int = DEFAULT_UI_PORT,
    any_port: bool = False,
) -> AsyncIterator[EmbeddedServer]:
    """Run the server and its Web UI while the context lasts; arguments and errors as `server_without_web_ui`."""
    async with (
        server_without_web_ui(settings, port=port, ui_port=ui_port, any_port=any_port) as (server, web_ui),
        web_ui(),
    ):
        yield server


@asynccontextmanager
async def server_without_web_ui(
    settings: Settings, *, port: int, ui_port: int, any_port: bool = False
) -> AsyncIterator[tuple[EmbeddedServer, Callable[[], AbstractAsyncContextManager[None]]]]:
    """Run the server while the context lasts; with it comes what serves its Web UI.

    Browsers can connect to the Web UI at once, and are answered when it is served: what it needs takes a while to
    import, which work that waits for the server should not.

    Args:
        settings: its files lie in `darkroom_home`.
        port: gRPC, on the loopback address.
        ui_port: the Web UI, on the loopback address.
        any_port: take free ports when these are in use.

    Raises:
        AlreadyUp: another process does so in the same folder.
        PortTaken: a port is in use.
        NoPort: none is free.
        ServerNotReachable: it did not come up; its log says why.
    """
    home = settings.darkroom_home.absolute()
    make_home(settings)
    with _locked(home):
        await _stop_orphan(settings, home)
        port = usable_port(port, "--port", any_port=any_port)
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(closing(listening(ui_port, "--ui-port", any_port=any_port)))
            running = ServerProcess(home, port, free_port(), f"http://{HOST}:{listener.getsockname()[1]}")
            stack.push_async_callback(running.stop)
            server = await running.start()
            watch = asyncio.create_task(running.start_again_when_it_ends())
            stack.callback(watch.cancel)
            await running.until_it_answers(server)
            files = UiFiles(home / "temporal-ui.log")
            stack.push_async_callback(files.close)
            yield server, partial(_serving_web_ui, listener, files, running.api, server.address)


@asynccontextmanager
async def _serving_web_ui(
    listener: socket.socket, files: UiFiles, api: tuple[str, str], address: str
) -> AsyncIterator[None]:
    web_ui = await asyncio.to_thread(import_module, "darkroom.embedded.web_ui")
    async with web_ui.serving_web_ui(web_ui.WebUi(web_ui.Upstream(files.address, api, address)), listener):
        yield


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyUp(
                f"an embedded stack is already running in {home}: use it, or set DARKROOM_HOME to another folder"
            ) from None
        yield


async def _stop_orphan(settings: Settings, home: Path) -> None:
    """Stop a server that an `up` which was killed left behind; two on one file would corrupt it."""
    left = embedded_address(settings)
    if left is not None:
        with contextlib.suppress(psutil.Error, OSError):
            orphan = psutil.Process(left.pid)
            # A pid is used again; only a server on our own file is ours.
            if _is_ours(orphan, home):
                # It is ending since we are not its parent, which takes a second or two; its file survives a kill.
                orphan.kill()
                await _ended(orphan)
    (home / ADDRESS_FILE).unlink(missing_ok=True)


async def _ended(process: psutil.Process) -> None:
    """Wait until it has ended. Where nobody asks about orphans, as in some containers, it stays a zombie."""
    with contextlib.suppress(TimeoutError, psutil.NoSuchProcess):
        async with asyncio.timeout(STOP_PATIENCE):
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


class ServerProcess:
    """The server process, started again on the same file and ports when it ends by itself.

    Args:
        home: the folder of its file.
        port: gRPC.
        http_port: the HTTP API.
        ui_url: where our listener serves the Web UI.
    """

    def __init__(self, home: Path, port: int, http_port: int, ui_url: str) -> None:
        self._home = home
        self._ports = port, http_port
        self._ui_url = ui_url
        # Any web page can reach the port, with this machine's own address as `Host` too; this name none can guess.
        self._host_name = f"{token_hex(16)}.invalid"
        self.process: asyncio.subprocess.Process | None = None
        """The running server; None before the start and after the stop."""

    @property
    def api(self) -> tuple[str, str]:
        """The address of the HTTP API, and the one `Host` that it answers."""
        return f"http://{HOST}:{self._ports[1]}", self._host_name

    async def start(self) -> EmbeddedServer:
        """Start the process and leave its address for the other commands."""
        port, http_port = self._ports
        for file in self._home.glob(f"{DATABASE}*"):  # of older versions, which anybody could read
            file.chmod(0o600)
        self.process = await start_tied(
            server_command(port, http_port, self._host_name),
            self._home / "temporal.log",
            child_environment(),
            folder=self._home,
            umask=0o077,
        )
        server = EmbeddedServer(f"{HOST}:{port}", self._ui_url, self.process.pid)
        # Written before the server answers: whoever finds it after a crash can stop the orphan.
        content = {"address": server.address, "ui_url": server.ui_url, "pid": server.pid}
        _write(self._home / ADDRESS_FILE, content)
        return server

    async def start_again_when_it_ends(self) -> None:
        """Workers wait for it meanwhile: calls in progress finish, and their results are reported then."""
        delay = RESTART_AFTER
        while self.process is not None:
            status = await self.process.wait()
            log.warning("Temporal server exited, restarting it", status=status, log=_why(self._home))
            await asyncio.sleep(delay)
            delay = min(2 * delay, RESTART_AT_MOST)
            await self.start()

    async def until_it_answers(self, server: EmbeddedServer) -> None:
        """Wait for the first connection, and set how long histories are kept.

        Raises:
            ServerNotReachable: it ended, or took too long; with the last line of its log.
        """
        try:
            async with asyncio.timeout(START_PATIENCE):
                client = await self._first_connection(server)
                await client.workflow_service.update_namespace(
                    UpdateNamespaceRequest(
                        namespace="default",
                        config=NamespaceConfig(
                            workflow_execution_retention_ttl=Duration(seconds=int(RETENTION.total_seconds()))
                        ),
                    )
                )
        except TimeoutError:
            raise ServerNotReachable(
                f"the Temporal server did not start within {START_PATIENCE:.0f} s{_why(self._home)}"
            ) from None

    async def _first_connection(self, server: EmbeddedServer) -> Client:
        first = self.process
        while True:
            try:
                # A plain connection first: it fails at once, where the client would wait and retry.
                _, writer = await asyncio.open_connection(*server.address.split(":"))
                writer.close()
                return await Client.connect(server.address)
            except (OSError, RuntimeError):
                if first is None or first.returncode is not None:
                    raise ServerNotReachable(f"the Temporal server exited at startup{_why(self._home)}") from None
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End the process, and forget its address."""
        process, self.process = self.process, None
        if process is not None:
            await stop(process, STOP_PATIENCE)
        (self._home / ADDRESS_FILE).unlink(missing_ok=True)


def _why(home: Path) -> str:
    log_file = home / "temporal.log"
    lines = log_file.read_text("utf-8", errors="replace").strip().splitlines() if log_file.is_file() else []
    return f"; {log_file} says: {shorten(lines[-1], 200)}" if lines else ""


def _is_ours(process: psutil.Process, home: Path) -> bool:
    """Whether it is a server on the file in `home`; those of 0.2 and before were given its whole path."""
    arguments = process.cmdline()
    return str(home / DATABASE) in arguments or (DATABASE in arguments and home.samefile(process.cwd()))


def _write(file: Path, content: dict[str, object]) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(content), "utf-8")
    temporary.replace(file)
