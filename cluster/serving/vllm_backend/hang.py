"""Detects a vLLM that hangs. Pure: the clock is passed in.

When a GPU hangs, vLLM notices nothing: its process lives and answers, and only its steps never end. Its own
limit for a step applies to several workers only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

_LEAST_SECONDS = 300.0
"""Longer than kernels take that are compiled on first use; CUDA graphs are captured before vLLM is ready."""
_SLOWEST_PREFILL = 400
"""Prompt tokens per second. A prompt that runs alone gives no output before its end. A GPU that holds a model
prefills thousands per second, and fewer in a very long context. 300 s are enough for 120,000."""


def silence_limit(context_length: int) -> float:
    """How many seconds vLLM may compute without any output. `context_length` is in tokens."""
    return max(_LEAST_SECONDS, context_length / _SLOWEST_PREFILL)


class HangDetector:
    """Adds up the time in which vLLM has had sequences to run since it last gave any output.

    Sequences that leave without output do not end the silence: clients that give up one after the other would
    hide a hang. The time in which vLLM has nothing to do is not counted."""

    def __init__(self, limit_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.limit_seconds = limit_seconds
        self._clock = clock
        self._num_running = 0
        self._silent_seconds = 0.0
        """Before `_since`."""
        self._since = 0.0
        """When the present silence began, or went on after vLLM had nothing to do."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """One sequence runs in vLLM within this context."""
        if not self._num_running:
            self._since = self._clock()
        self._num_running += 1
        try:
            yield
        finally:
            self._num_running -= 1
            if not self._num_running:
                self._silent_seconds += self._clock() - self._since

    def record_output(self) -> None:
        """Ends the silence. Called within `running`."""
        self._silent_seconds = 0.0
        self._since = self._clock()

    @property
    def is_hung(self) -> bool:
        is_running = self._num_running > 0
        return is_running and self._silent_seconds + self._clock() - self._since >= self.limit_seconds
