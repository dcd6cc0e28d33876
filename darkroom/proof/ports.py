"""Ports for servers that a proof kills and starts again at the same address."""

from darkroom.embedded.launching import HOST
from darkroom.embedded.ports import NoPort, free_port

__all__ = ["HOST", "NoPort", "free_port"]
