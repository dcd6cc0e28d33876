"""Serving the application until a signal: streams end, responses in progress are finished."""

import asyncio
import gc
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network, IPv6Network

import structlog
import uvicorn
from starlette.types import ASGIApp

from darkroom.api.app import make_app
from darkroom.api.connections import ConnectionLimits, protocol_with
from darkroom.api.embedding import opened
from darkroom.api.in_progress import InProgress
from darkroom.api.services import Services
from darkroom.domain.errors import NotPossibleNow
from darkroom.settings import Settings

log = structlog.get_logger("darkroom.api")

GRACE = 10
"""Seconds that responses in progress may take after the first signal."""
BACKLOG = 2048
"""Connections that may wait until they are accepted."""
ACCEPTED_AT_ONCE = 8
SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread that reads a large document keeps the interpreter from requests. Each of them needs it
many times, so that they wait often meanwhile; Python's own 5 ms are too long for that."""
LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
"""Where a proxy is trusted unless the settings say otherwise: on this machine."""
MOST_DESCRIPTORS = 65_536
OWN_DESCRIPTORS = 96
"""Files of our own, beside clients' connections: databases, Temporal, storage, child processes."""


class SteadyServer(uvicorn.Server):
    """Accepts a few connections at a time: requests in progress go on in between, however many come at once."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on sockets of ours."""
        self.config.backlog = ACCEPTED_AT_ONCE
        await super().startup(sockets)
        # asyncio accepts as many at once as may wait, and these are two things; libuv accepts one at a time.
        for sock in sockets or ():
            if not self.should_exit:
                sock.listen(BACKLOG)


class _Server(SteadyServer):
    """Ends the streams first: they would keep the server until their jobs end. The second signal does not wait."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services
        self._leaving: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals over; uvicorn's own would be raised again at the end, and be our exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave)
        yield

    def _leave(self) -> None:
        self.force_exit = self._leaving is not None
        self._leaving = self._leaving or asyncio.get_running_loop().create_task(self._services.close())
        self.should_exit = True


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        SettingRejected: anybody could order, or nobody could sign in.
        NotPossibleNow: the port is in use.
    """
    async with opened(settings) as services:
        with listening(settings.api_host, settings.api_port) as sock:
            config = server_config(make_app(services), settings)
            prepare_interpreter()
            log.info("api started", address=settings.api_address(), uses=services.parts.describe())
            await _Server(config, services).serve([sock])
    log.info("api stopped")


def prepare_interpreter() -> None:
    """Let no thread and no garbage collection keep requests waiting for long; to be called when everything is open."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    # What is there now stays: the collector would look through all of it each time, which takes 0.1 s.
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def server_config(app: ASGIApp, settings: Settings, *, descriptors: int = 0) -> uvicorn.Config:
    """How the application is served: with deadlines, and no more connections than the process can have.

    Args:
        app: the application.
        settings: the limits.
        descriptors: files and connections that the process may have open; 0 for what the system says.
    """
    proxies = settings.api_trusted_proxies or LOOPBACK
    return uvicorn.Config(
        InProgress(app, settings.api_requests),
        http=protocol_with(
            ConnectionLimits(
                connections=_affordable(settings.api_connections, descriptors or _descriptors()),
                per_address=settings.api_connections_per_address,
                head_timeout=settings.api_head_timeout,
                body_timeout=settings.api_body_timeout,
                trusted_proxies=proxies,
            )
        ),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=settings.api_idle_timeout,
        forwarded_allow_ips=[str(network) for network in proxies],
        server_header=False,
        # Nothing to begin or to end that is not ended here; when the second signal came, it left a traceback.
        lifespan="off",
    )


def _descriptors() -> int:
    """How many files the process may have open, raised as far as the system lets us.

    Without one left, the event loop cannot accept, and says so in a traceback a second and connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST_DESCRIPTORS)), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _affordable(connections: int, descriptors: int) -> int:
    affordable = max(1, descriptors - max(OWN_DESCRIPTORS, descriptors // 4))
    if affordable < connections:
        log.warning(
            "API_CONNECTIONS lowered: the process may not open enough files; raise `ulimit -n`",
            connections=affordable,
            files=descriptors,
        )
    return min(connections, affordable)


def listening(host: str, port: int) -> socket.socket:
    """A socket of ours to serve on; port 0 takes a free one.

    Raises:
        NotPossibleNow: the port is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotPossibleNow(f"API_HOST={host} API_PORT={port}: {reason}; choose another port with API_PORT") from None
    # asyncio sets this only on sockets that name their protocol, which ours does not. Without it the body of every
    # answer waits 40 ms for the client to acknowledge the headers. Connections inherit it.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
