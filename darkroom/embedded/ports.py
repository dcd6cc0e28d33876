"""Ports, on the loopback address unless told otherwise."""

import socket
from contextlib import closing

from darkroom.domain.errors import DarkroomError
from darkroom.embedded.launching import HOST

BACKLOG = 128


class PortTaken(DarkroomError):
    """A port that the server needs is in use."""


def usable_port(port: int, option: str, *, any_port: bool) -> int:
    """The port if it is free, or a free one.

    Raises:
        PortTaken: it is in use and another will not do.
    """
    with closing(_bound(port, option, any_port=any_port)) as probe:
        return int(probe.getsockname()[1])


def free_port() -> int:
    """A port that nobody uses now."""
    return usable_port(0, "", any_port=True)


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
