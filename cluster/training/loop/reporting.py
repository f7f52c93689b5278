"""What the job's owner hears of a run beside its steps, so that a phase of minutes does not look like a job
that hangs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from cluster.contracts.jobs import RunnerMessage

Report = Callable[[RunnerMessage], None]
"""Safe for threads."""

FIRST_MESSAGE_SECONDS = 10.0
"""A phase that is over sooner needs no word."""
NEXT_MESSAGE_SECONDS = 60.0


def message(text: str, level: Literal["info", "warn"] = "info") -> RunnerMessage:
    return RunnerMessage(seq=0, created_at=int(time.time()), level=level, message=text)


@contextmanager
def report_if_slow(
    report: Report,
    what: str,
    *,
    first_seconds: float = FIRST_MESSAGE_SECONDS,
    next_seconds: float = NEXT_MESSAGE_SECONDS,
) -> Iterator[None]:
    """Inside the `with`, `report` hears that `what` is under way: first after `first_seconds`, then every
    `next_seconds`."""
    is_over = threading.Event()

    def report_until_over() -> None:
        pause, began = first_seconds, time.monotonic()
        while not is_over.wait(pause):
            report(message(f"{what}: under way for {time.monotonic() - began:.0f} seconds"))
            pause = next_seconds

    reporter = threading.Thread(target=report_until_over, name="slow-phase", daemon=True)
    reporter.start()
    try:
        yield
    finally:
        is_over.set()
        reporter.join()


class PassProgress:
    """Counts passes through a model whose number is known: each is a sign of life, and now and then a word
    for the job's owner. Call it before each pass."""

    def __init__(
        self,
        report: Report,
        what: str,
        *,
        heartbeat: Callable[[], None],
        first_seconds: float = FIRST_MESSAGE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report, self._what, self._heartbeat, self._clock = report, what, heartbeat, clock
        self._pause = first_seconds
        self._reported_at = clock()
        self._count = self._total = 0

    def expect(self, passes: int) -> None:
        """So many more are to come."""
        self._total += passes

    def __call__(self) -> None:
        self._heartbeat()
        if self._clock() - self._reported_at >= self._pause:
            self._reported_at, self._pause = self._clock(), NEXT_MESSAGE_SECONDS
            share = self._count / max(1, self._total)
            self._report(message(f"{self._what}: {share:.0%} ({self._count} of {self._total} passes)"))
        self._count += 1
