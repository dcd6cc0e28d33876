"""Ports, on the loopback address unless told otherwise."""

import random
import socket
from collections.abc import Sequence
from contextlib import closing

from darkroom.domain.errors import DarkroomError
from darkroom.embedded.launching import HOST

BACKLOG = 128
PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections, one of which would keep a server from starting again."""


class PortTaken(DarkroomError):
    """A port that the server needs is in use."""


class NoPort(DarkroomError):
    """No port on the loopback address can be used: nothing may listen there, or all are taken."""


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
            try:
                return usable_port(port, "", any_port=False)
            except PortTaken:
                continue
        between = f"between {self._ports[0]} and {self._ports[-1]}"
        raise NoPort(f"no free port on {HOST} {between}: stop what uses them")


_OF_THIS_PROCESS = Ports(PORTS)
free_port = _OF_THIS_PROCESS.free_port
"""A port for a server that is yet to start, and that finds it free when it is started again."""


def usable_port(port: int, option: str, *, any_port: bool) -> int:
    """The port if it is free, or a free one; 0 asks for any.

    Raises:
        PortTaken: it is in use and another will not do.
        NoPort: no other is free.
    """
    if port:
        try:
            with closing(_bound(port, option, any_port=False)):
                return port
        except PortTaken:
            if not any_port:
                raise
    return free_port()


def listening(port: int, option: str, *, any_port: bool, host: str = HOST) -> socket.socket:
    """A socket of ours on the port if it is free, or on a free one; on the loopback address unless told otherwise.

    Raises:
        PortTaken: as `usable_port`.
    """
    sock = _bound(port, option, any_port=any_port, host=host)
    sock.listen(BACKLOG)
    return sock


def _bound(port: int, option: str, *, any_port: bool, host: str = HOST) -> socket.socket:
    for candidate in (port, 0) if any_port else (port,):
        sock = socket.socket()
        # The server sets this too: a connection in TIME_WAIT does not keep a port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, candidate))
        except OSError:
            sock.close()
        else:
            return sock
    raise PortTaken(f"port {port} is in use: choose another one with {option}, or stop the process that uses it")
