"""Log lines: JSON in production, coloured key-value on a terminal."""

import logging
import sys
from typing import TextIO

import structlog

from darkroom.domain.clean_text import clean_lines, one_clean_line
from darkroom.domain.secret_text import without_secrets
from darkroom.settings import Settings

_IN_LINES = ("exception", "stack")
"""Of a log line, what has lines of its own."""


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's lines through one renderer, to standard error.

    Call it once per process, before anything logs.
    """
    target = stream or sys.stderr
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    as_json = settings.log_format == "json" or (settings.log_format is None and not target.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        # Its own way to show a traceback would show the values of all variables.
        else structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    final: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        _without_secrets_and_controls,
        render,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # The SDKs speak of every request and poll at info; ours are the lines an operator reads.
    for noisy in (
        *("uvicorn", "httpx", "httpx2", "httpcore", "httpcore2", "temporalio", "google_genai", "asyncio"),
        *("botocore", "aiobotocore", "s3fs"),
    ):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    # It logs the traceback of each error beside raising it.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)


def _without_secrets_and_controls(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """The last word on everything that is logged: whatever somebody wrote moves no cursor, and shows no key."""
    for key, value in event.items():
        event[key] = (
            clean_lines(without_secrets(value)) if key in _IN_LINES and isinstance(value, str) else _clean(value)
        )
    return event


def _clean(value: object) -> object:
    match value:
        case str():
            return one_clean_line(without_secrets(value))
        case dict():
            return {_clean(key): _clean(part) for key, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(part) for part in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return one_clean_line(without_secrets(str(value)))
