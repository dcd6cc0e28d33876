"""How a command does its work: on an event loop, with the settings."""

from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from cli.statuses import Interrupted
from darkroom import logs
from darkroom.settings import Settings, read_settings

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work on an event loop of its own.

    Raises:
        Interrupted: by Ctrl-C.
    """
    try:
        return uvloop.run(work)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; a job that was started continues") from None


def opened_settings() -> Settings:
    """The settings, with log lines going where they belong: to standard error.

    Raises:
        SettingRejected: a value is wrong.
    """
    settings = read_settings()
    logs.configure(settings)
    return settings
