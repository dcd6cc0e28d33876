"""Ports for servers that tests start."""

import contextlib
import random
import socket

HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections: a server that is killed finds its port free again."""


def free_port() -> int:
    """A port on the loopback address that nobody has now, and that no outgoing connection takes."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            # The servers set this too: a connection in TIME_WAIT does not keep a port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
