"""Notices when training hangs, for example in a collective that another worker never joined, or on a stuck
device."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Watchdog:
    """Calls `on_hang` from a separate thread if `heartbeat` has not been called for `seconds` inside the
    `with` block. The call may come up to `seconds` late."""

    def __init__(self, seconds: float, on_hang: Callable[[], None]) -> None:
        self._seconds, self._on_hang = seconds, on_hang
        self._condition = threading.Condition()
        self._count = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def heartbeat(self) -> None:
        self._count += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._condition:
            self._is_over = True
            self._condition.notify()
        self._thread.join()

    def _watch(self) -> None:
        seen = -1
        with self._condition:
            while not self._is_over:
                if self._count == seen:
                    self._on_hang()
                    return
                seen = self._count
                # A heartbeat does not notify this thread: taking a lock in every microbatch would cost more
                # than polling.
                self._condition.wait(self._seconds)
