"""Notices that training no longer moves: a collective that a worker never joined, a stuck device."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Watchdog:
    """Calls `on_hang`, in a thread of its own, once `heartbeat` has not been called for `seconds` inside the
    `with`, which it sees within as long again."""

    def __init__(self, seconds: float, on_hang: Callable[[], None]) -> None:
        self._seconds, self._on_hang = seconds, on_hang
        self._beats = threading.Condition()
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
        with self._beats:
            self._is_over = True
            self._beats.notify()
        self._thread.join()

    def _watch(self) -> None:
        seen = -1
        with self._beats:
            while not self._is_over:
                if self._count == seen:
                    self._on_hang()
                    return
                seen = self._count
                # Beats do not wake it: a lock for every microbatch would cost more than a look now and then.
                self._beats.wait(self._seconds)
