"""Messages to the job's owner during work that takes minutes, so that the job does not seem to hang."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from cluster.contracts.jobs import RunnerMessage
from cluster.training.loop.hooks import RunHooks

FIRST_MESSAGE_SECONDS = 10.0
"""Work that ends sooner sends no message."""
NEXT_MESSAGE_SECONDS = 60.0
HEARTBEAT_SECONDS = 10.0


def message(text: str, level: Literal["info", "warn"] = "info") -> RunnerMessage:
    return RunnerMessage(level=level, message=text)


@contextmanager
def report_if_slow(
    report: Callable[[RunnerMessage], None],
    what: str,
    *,
    heartbeat: Callable[[], None] = lambda: None,
    first_seconds: float = FIRST_MESSAGE_SECONDS,
    next_seconds: float = NEXT_MESSAGE_SECONDS,
) -> Iterator[None]:
    """Reports that `what` is under way while the `with` block runs: first after `first_seconds`, then every
    `next_seconds`. Calls `report`, and `heartbeat` with it, from a separate thread.

    Pass a heartbeat only for work that may take long and shows no progress, such as loading a model. Such
    work must end by itself, because nobody notices if it hangs. Downloads show progress, and messages between
    workers have their own time limit."""
    began = time.monotonic()

    def act() -> None:
        heartbeat()
        report(message(f"{what}: under way for {time.monotonic() - began:.0f} seconds"))

    with _repeating(act, first_seconds, next_seconds):
        yield


@contextmanager
def kept_alive(
    heartbeat: Callable[[], None], *, only_if: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Calls `heartbeat` every HEARTBEAT_SECONDS while the `with` block runs and `only_if()` is true, from a
    separate thread."""

    def act() -> None:
        if only_if():
            heartbeat()

    with _repeating(act, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS):
        yield


def changes_of(look: Callable[[], object]) -> Callable[[], bool]:
    """Returns a function that says whether the result of `look` has changed since the function's last
    call."""
    seen = look()

    def has_changed() -> bool:
        nonlocal seen
        before, seen = seen, look()
        return seen != before

    return has_changed


@contextmanager
def _repeating(act: Callable[[], None], first_seconds: float, next_seconds: float) -> Iterator[None]:
    is_over = threading.Event()

    def act_until_over() -> None:
        pause = first_seconds
        while not is_over.wait(pause):
            act()
            pause = next_seconds

    thread = threading.Thread(target=act_until_over, name="slow-phase", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class PassProgress:
    """Counts passes through a model if their number is known. Call it before each pass: it sends a heartbeat,
    and from time to time a message about how many passes are done."""

    def __init__(self, hooks: RunHooks, what: str, *, first_seconds: float = FIRST_MESSAGE_SECONDS) -> None:
        self._hooks, self._what = hooks, what
        self._pause = first_seconds
        self._reported_at = hooks.clock()
        self._count = self._total = 0

    def expect(self, passes: int) -> None:
        """Adds to the number of expected passes."""
        self._total += passes

    def __call__(self) -> None:
        self._hooks.heartbeat()
        if self._hooks.clock() - self._reported_at >= self._pause:
            self._reported_at, self._pause = self._hooks.clock(), NEXT_MESSAGE_SECONDS
            share = self._count / max(1, self._total)
            text = f"{self._what}: {share:.0%} ({self._count} of {self._total} passes)"
            self._hooks.report(message(text))
        self._count += 1
