"""Logging that a test configures is its own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import structlog


@contextmanager
def own_log_setup() -> Iterator[None]:
    """What is configured within ends with it.

    Loggers keep no processors meanwhile: one that kept those of a command run in this process would never again be
    heard by `capture_logs`.
    """
    root = logging.getLogger()
    handlers, level, configured = root.handlers[:], root.level, structlog.get_config()
    real = structlog.configure

    def configure(**settings: Any) -> None:
        real(**settings | {"cache_logger_on_first_use": False})

    try:
        with patch.object(structlog, "configure", configure):
            yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.configure(**configured)
