"""Measures how long a device computes, without waiting for it."""

import time
from typing import Any

import torch


class Stopwatch:
    """A GPU computes asynchronously, so there the time is measured between two events in its stream."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda" and torch.cuda.is_available()
        self._marks: tuple[Any, Any] | None = None
        self._began: Any = None

    def start(self) -> None:
        self._began = self._mark()

    def stop(self) -> None:
        self._marks = self._began, self._mark()

    def seconds(self) -> float:
        """Returns the seconds between the last `start` and `stop`; 0 if there were none. Waits for the work
        that was queued before `stop`, so call it when that has already been waited for."""
        if self._marks is None:
            return 0.0
        began, ended = self._marks
        return float(began.elapsed_time(ended) / 1000 if self._is_cuda else ended - began)

    def _mark(self) -> Any:
        if not self._is_cuda:
            return time.perf_counter()
        mark = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        mark.record()
        return mark
