"""Serving the application until a signal: streams end, responses in progress are finished."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from darkroom.api.app import make_app
from darkroom.api.embedding import opened
from darkroom.api.services import Services
from darkroom.domain.errors import NotPossibleNow
from darkroom.settings import Settings

log = structlog.get_logger("darkroom.api")

GRACE = 10
"""Seconds that responses in progress may take after the first signal."""
BACKLOG = 2048


class _Server(uvicorn.Server):
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
            config = uvicorn.Config(
                make_app(services),
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=GRACE,
                timeout_keep_alive=15,
                server_header=False,
                # Nothing to begin or to end that is not ended here; when the second signal came, it left a traceback.
                lifespan="off",
            )
            log.info("api started", address=settings.api_address(), uses=services.parts.describe())
            await _Server(config, services).serve([sock])
    log.info("api stopped")


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
