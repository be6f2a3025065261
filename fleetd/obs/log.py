"""
The log: structlog events with stable snake_case names, to stderr, as JSON lines or for people on a terminal.

Rooms take `structlog.get_logger()` when they are built; the composition root calls `configure` before that.
Records of the standard library's logging (asyncio, grpc) come out in the same form.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]


def configure(level: Level = "info", form: Format = "auto", stream: TextIO | None = None) -> None:
    """
    Set up the log of this process; once, before the first event.

    Args:
        level: the least level that is written; records of other libraries are written from warning on.
        form: "auto" is "console" when the stream is a terminal and "json" otherwise.
        stream: where to write; stderr unless a test wants to read it.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[Processor]
    if form == "json" or (form == "auto" and not terminal):
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        colors = terminal and "NO_COLOR" not in os.environ
        # The plain form, because the richer ones print local variables: task inputs do not belong in a log.
        plain = structlog.dev.plain_traceback
        renderers = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    _adopt_standard_logging(shared, renderers, level, stream)


def _adopt_standard_logging(
    shared: list[Processor], renderers: list[Processor], level: Level, stream: TextIO
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.WARNING, getattr(logging, level.upper())))
