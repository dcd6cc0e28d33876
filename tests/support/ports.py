"""Ports for servers that tests start."""

from darkroom.proof.ports import HOST, free_port

__all__ = ["HOST", "free_port"]
