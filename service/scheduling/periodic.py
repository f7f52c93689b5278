"""Runs recurring work of the scheduler in the background."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from cluster.contracts.errors import TuneryError, Unavailable

_log = structlog.get_logger()
NoteFailure = Callable[[str], None]
"""Counts a failure of a piece of work, given the work's name."""


class Periodic:
    """Runs rounds of some work on `workers`, one at a time."""

    def __init__(
        self,
        name: str,
        run: Callable[[], object],
        workers: Executor,
        *,
        pause_seconds: float,
        first_pause_seconds: float = 0.0,
        note_failure: NoteFailure,
    ) -> None:
        """`name` starts the log lines. The pauses are before the first round and after each round."""
        self._name = name
        self._run = run
        self._workers = workers
        self._pause_seconds = pause_seconds
        self._note_failure = note_failure
        self._busy = threading.Lock()
        self.due_at = time.monotonic() + first_pause_seconds

    def begin_if_due(self) -> None:
        """Returns at once. Does nothing while a round is running, or during the pause after it."""
        if time.monotonic() >= self.due_at and self._busy.acquire(blocking=False):
            self._workers.submit(self._round)

    def _round(self) -> None:
        try:
            guarded(self._name, self._run, self._note_failure)
        finally:
            self.due_at = time.monotonic() + self._pause_seconds
            self._busy.release()


def guarded(name: str, run: Callable[[], object], note_failure: NoteFailure) -> None:
    """Calls `run` on a worker. Nobody waits for the result, so errors are logged and counted, except when a
    dependency does not answer: other metrics report that."""
    try:
        run()
    except Unavailable as error:
        _log.warning(f"{name} interrupted", error=error.message)
    except TuneryError as error:
        _log.warning(f"{name} interrupted", error=error.message)
        note_failure(name)
    except Exception:
        _log.exception(f"{name} failed")
        note_failure(name)
