"""Ports for servers that a proof kills and starts again at the same address."""

import contextlib
import random
import socket
from collections.abc import Sequence

from darkroom.domain.errors import DarkroomError

HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections: a server that is killed finds its port free again."""


class NoPort(DarkroomError):
    """No port on 127.0.0.1 can be used: nothing may listen there, or all are taken."""


class Ports:
    """Gives a port of a range again only when all others were given, so that servers that have yet to start share none.

    Args:
        ports: those to choose from.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._left: list[int] = []

    def free_port(self) -> int:
        """A port on the loopback address that nobody has now, and that no outgoing connection takes.

        Raises:
            NoPort: others have them all.
        """
        for _ in self._ports:
            self._left = self._left or random.sample(self._ports, len(self._ports))
            port = self._left.pop()
            with socket.socket() as probe, contextlib.suppress(OSError):
                # The servers set this too: a connection in TIME_WAIT does not keep a port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, port))
                return port
        between = f"between {self._ports[0]} and {self._ports[-1]}"
        raise NoPort(f"no free port on {HOST} {between}: stop what uses them")


_OF_THIS_PROCESS = Ports(PORTS)
free_port = _OF_THIS_PROCESS.free_port
