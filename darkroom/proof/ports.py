"""Ports for servers that a proof kills and starts again at the same address."""

import contextlib
import random
import socket

from darkroom.domain.errors import DarkroomError

HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections: a server that is killed finds its port free again."""


ATTEMPTS = 200


class NoPort(DarkroomError):
    """No port on 127.0.0.1 can be used: nothing may listen there, or all are taken."""


def free_port() -> int:
    """A port on the loopback address that nobody has now, and that no outgoing connection takes.

    Raises:
        NoPort: none was found.
    """
    for _ in range(ATTEMPTS):
        port = random.choice(PORTS)  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            # The servers set this too: a connection in TIME_WAIT does not keep a port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise NoPort(f"no free port on {HOST} between {PORTS.start} and {PORTS.stop - 1}: stop what uses them")
