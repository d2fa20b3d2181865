"""Structured logs: one line an event, the request id on every line, no personal data.

Values that may be logged are named where they are logged; bodies, tokens, addresses and texts never are.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

Format = Literal["auto", "json", "console"]
_FROM = " from %s"


def configure(level: str, log_format: Format) -> None:
    """Send our own and every library's logs to standard error in one format."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("aiohttp.server").addFilter(_shorten_bad_requests)
    for noisy in ("aiohttp.access", "engineio", "socketio", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _shorten_bad_requests(record: logging.LogRecord) -> bool:
    """What is not HTTP is the fault of whoever sent it: one quiet line for a scanner, not a traceback.

    aiohttp names the address a request comes from; that is nobody's to read here.
    """
    if isinstance(record.msg, str) and record.msg.endswith(_FROM):
        record.msg, record.args = record.msg.removesuffix(_FROM), ()
    if record.exc_info and _is_not_http(record.exc_info[1]):
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True


def _is_not_http(error: BaseException | None) -> bool:
    """Whether aiohttp refused what it read: its own errors, or a target that is no URL."""
    return isinstance(error, ValueError) or type(error).__module__ == "aiohttp.http_exceptions"
