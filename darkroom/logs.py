"""Log lines: JSON in production, coloured key-value on a terminal."""

import logging
import sys
from typing import TextIO

import structlog

from darkroom.settings import Settings


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
    final: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=target.isatty())]
    )
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
    for noisy in ("uvicorn", "httpx", "httpx2", "httpcore", "httpcore2", "temporalio", "google_genai", "asyncio"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
