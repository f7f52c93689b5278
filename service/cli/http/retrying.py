"""Retries requests that the server could not answer yet."""

import time
from collections.abc import Callable
from typing import TypeVar

from service.cli.failures import Unavailable

T = TypeVar("T")

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 15.0


def retried(
    call: Callable[[], T],
    *,
    within_seconds: float,
    max_tries: int | None = None,
    on_trouble: Callable[[str], object] = lambda reason: None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Repeats a call that may be repeated, as long as it raises Unavailable. Waits as the server says, or
    twice as long each time. Raises the last Unavailable once it would wait for more than `within_seconds` in
    all, or has tried `max_tries` times. `on_trouble` is told why it waits, once."""
    waited, pause, tries = 0.0, _FIRST_SECONDS, 0
    while True:
        tries += 1
        try:
            return call()
        except Unavailable as error:
            seconds = pause if error.retry_after_seconds is None else error.retry_after_seconds
            if waited + seconds > within_seconds or tries == max_tries:
                raise
            if tries == 1:
                on_trouble(str(error))
        sleep(seconds)
        waited, pause = waited + seconds, min(2 * pause, _LONGEST_SECONDS)
