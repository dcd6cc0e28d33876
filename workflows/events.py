"""Log lines of workflows: written once, not again when a history is replayed."""

import structlog
from temporalio import workflow

_log = structlog.get_logger("darkroom.job")


def log(event: str, **fields: object) -> None:
    """One event with its fields, unless this is a replay."""
    if not workflow.unsafe.is_replaying_history_events():
        with workflow.unsafe.sandbox_unrestricted():
            _log.info(event, **{name: value for name, value in fields.items() if value is not None})
