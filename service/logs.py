# SPDX-License-Identifier: Apache-2.0
"""JSON lines on standard error, one event a line; no personal data, no address, no query, no traceback with values."""

import json
import logging
import sys

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(level: str) -> None:
    """Send all of the process's logs to standard error as JSON.

    Args:
        level: debug, info, warning or error.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _JsonFormatter(logging.Formatter):
    """Lines of libraries in the same form; of an exception only its type, for its text may quote a row.

    Of a message only its first line: the event loop's name what failed there, and quote the exception below.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        first = record.getMessage().partition("\n")[0]
        line = {"event": f"{record.name}: {first}", "level": record.levelname.lower()}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=False)
