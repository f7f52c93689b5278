"""Limits how often the same log line is written.

The scheduler ticks twice a second: a problem that lasts a night would fill the disk with one line and hide
all others.
"""

import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, MutableMapping
from typing import Any

import structlog

INTERVAL_SECONDS = 60.0
_REMEMBERED = 1000
_LIMITED = frozenset({"warning", "error", "exception", "critical"})


class LogRateLimiter:
    """Allows each line once every `seconds`. Thread-safe."""

    def __init__(
        self, seconds: float = INTERVAL_SECONDS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        """When each line was last written, and how often it has been suppressed since. The oldest comes
        first."""

    def allow(self, line: Hashable) -> int | None:
        """Returns None if the line is to be suppressed, otherwise how often it has been suppressed since it
        was last written."""
        at = self._clock()
        with self._lock:
            written_at, count = self._lines.get(line, (float("-inf"), 0))
            if at - written_at < self._seconds:
                self._lines[line] = written_at, count + 1
                return None
            self._lines[line] = at, 0
            self._lines.move_to_end(line)
            if len(self._lines) > _REMEMBERED:
                self._lines.popitem(last=False)
            return count


class StructlogRateLimit:
    """A structlog processor that drops repeated warnings and errors, and adds `repeated` to the next one that
    is written. It must come before any processor that adds the time."""

    def __init__(self, limiter: LogRateLimiter | None = None) -> None:
        self._limiter = limiter or LogRateLimiter()

    def __call__(
        self, _logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if method not in _LIMITED:
            return event
        line = tuple(sorted((name, repr(value)) for name, value in event.items()))
        count = self._limiter.allow((method, line, repr(sys.exc_info()[1])))
        if count is None:
            raise structlog.DropEvent
        return event if count == 0 else {**event, "repeated": count}


class LoggingRateLimit(logging.Filter):
    """The same as a filter for a handler of the standard library."""

    def __init__(self, limiter: LogRateLimiter | None = None) -> None:
        super().__init__()
        self._limiter = limiter or LogRateLimiter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        message = record.getMessage()
        error = "" if not record.exc_info else repr(record.exc_info[1])
        count = self._limiter.allow((record.name, record.levelno, message, error))
        if count:
            record.msg, record.args = f"{message} (repeated {count} times since)", ()
        return count is not None
