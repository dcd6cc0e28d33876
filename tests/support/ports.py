"""Ports of 127.0.0.1 for the tests' servers: test processes that run side by side choose from their own."""

import os

from darkroom.embedded.launching import HOST
from darkroom.embedded.ports import Ports

__all__ = ["HOST", "free_port"]

# Below those that `prove` chooses from. The Makefile starts fewer processes; `gw0` is the name of the first.
PORTS = range(10_000, 20_000)
PROCESSES = 10

_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES

free_port = Ports(PORTS[_process::PROCESSES]).free_port
