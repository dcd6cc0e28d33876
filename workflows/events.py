"""Log lines of workflows: written once, not again when a history is replayed."""

import logging
from typing import Literal

import structlog
from temporalio import workflow

Level = Literal["info", "warning", "error"]
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_log = structlog.get_logger("darkroom.job")


def log(event: str, level: Level = "info", /, **fields: object) -> None:
    """One event with its fields, unless this is a replay."""
    if not workflow.unsafe.is_replaying_history_events():
        with workflow.unsafe.sandbox_unrestricted():
            _log.log(_LEVELS[level], event, **{name: value for name, value in fields.items() if value is not None})
