"""Log lines that a loop says again and again, said now and then.

A scheduler ticks twice a second: what is wrong for a night would fill the disk with one line, and hide the
others.
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
    """Lets a line through if it was not said for `seconds`. Used from any thread."""

    def __init__(
        self, seconds: float = INTERVAL_SECONDS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        """When each line was last said, and how often it was held back since; the oldest first."""

    def allow(self, line: Hashable) -> int | None:
        """None if the line is to be held back, else how often it was since it was last said."""
        at = self._clock()
        with self._lock:
            said_at, count = self._lines.get(line, (float("-inf"), 0))
            if at - said_at < self._seconds:
                self._lines[line] = said_at, count + 1
                return None
            self._lines[line] = at, 0
            self._lines.move_to_end(line)
            if len(self._lines) > _REMEMBERED:
                self._lines.popitem(last=False)
            return count


class StructlogRateLimit:
    """A processor, before any that adds the time: drops warnings and errors that say nothing new, and adds
    `repeated` to the next one that is said."""

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
    """The same for a handler of the standard library's."""

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
