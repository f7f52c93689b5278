"""Times one generation request."""

import time
from collections.abc import Callable

from cluster.contracts.errors import InternalError, TuneryError
from service.metrics.api import ApiMetrics


class GenerationTimer:
    """Starts when the request may be queued."""

    def __init__(
        self,
        metrics: ApiMetrics,
        base: str,
        num_choices: int,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._metrics, self._base, self._num_choices, self._clock = metrics, base, num_choices, clock
        self._begun = clock()
        self._first_token: float | None = None

    @property
    def awaits_token(self) -> bool:
        return self._first_token is None

    def note_turn(self) -> None:
        self._metrics.waited(self._base, self._clock() - self._begun)

    def note_token(self) -> None:
        """Records that the first token has arrived."""
        self._first_token = self._clock()
        self._metrics.began_to_answer(self._base, self._first_token - self._begun)

    def note_failure(self, error: Exception) -> None:
        code = error.code if isinstance(error, TuneryError) else None
        self._metrics.failed(self._base, code or InternalError.default_code)

    def note_end(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Call it however the generation ended: a client that disconnects has used tokens too."""
        further = completion_tokens - self._num_choices
        token_seconds = None
        if self._first_token is not None and further > 0:
            token_seconds = (self._clock() - self._first_token) * self._num_choices / further
        self._metrics.generated(
            self._base,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            token_seconds=token_seconds,
        )
