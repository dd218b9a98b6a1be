# SPDX-License-Identifier: Apache-2.0
"""JSON lines on standard error: one event a line, with names that programs can key on.

No secret and no transaction body is ever logged; what peers send wrongly is logged at a bounded rate.
"""

import json
import logging
import sys
from collections.abc import Callable

import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SUBJECTS_MAX = 1_024
"""Subjects whose pace is remembered; above it the oldest is forgotten."""


def configure_logging(level: str, node: str) -> None:
    """Send all of the process's logs to standard error as JSON.

    Args:
        level: debug, info, warning or error.
        node: Stands in each line, so that several nodes' logs can be merged.
    """
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(node=node)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(node))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _JsonFormatter(logging.Formatter):
    """Lines of libraries in the same form as ours."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """One line, exception included."""
        line = {
            "event": f"{record.name}: {record.getMessage()}",
            "node": self._node,
            "level": record.levelname.lower(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Limiter:
    """Lets one line per subject through in each interval, with the count of those held back."""

    def __init__(self, interval_ms: int, now: Callable[[], int]) -> None:
        self._interval_ms = interval_ms
        self._now = now
        self._seen: dict[str, tuple[int, int]] = {}

    def allows(self, subject: str) -> int | None:
        """How many were held back since the last line about this subject if a line may go out now, else None."""
        now_ms = self._now()
        last_ms, held_back = self._seen.get(subject, (now_ms - self._interval_ms, 0))
        if now_ms - last_ms < self._interval_ms:
            self._seen[subject] = (last_ms, held_back + 1)
            return None
        self._seen.pop(subject, None)
        if len(self._seen) >= _SUBJECTS_MAX:
            self._seen.pop(next(iter(self._seen)))
        self._seen[subject] = (now_ms, 0)
        return held_back
