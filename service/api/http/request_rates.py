"""Limits how often one key may send requests that cost no tokens: models have limits of their own."""

import time
from collections.abc import Callable

from cluster.contracts.errors import RateLimited

_REMEMBERED = 10_000
"""Number of keys whose rates are kept. Beyond that, those whose buckets have been refilling longest are
dropped."""


class RequestRates:
    """Buckets that refill steadily, one for each key, in this process only, because they protect this
    process. Belongs to one event loop."""

    def __init__(
        self, per_minute: int | None, what: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`what` names what is counted, for the message. A limit of None admits everything."""
        self._per_minute, self._what, self._clock = per_minute, what, clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """What is left, and when that was measured, by key; the most recently used keys are last."""

    def admit(self, key_id: str) -> None:
        """Counts a request. Raises RateLimited if the key has sent too many."""
        self.check(key_id)
        self.count(key_id)

    def check(self, key_id: str) -> None:
        """Raises RateLimited if the key has sent too many."""
        if self._per_minute is not None and (left := self._left(key_id)) < 1.0:
            raise RateLimited(
                f"Rate limit reached for {self._what} of this API key: Limit {self._per_minute} a minute.",
                unit="requests",
                retry_after_seconds=(1.0 - left) * 60 / self._per_minute,
            )

    def count(self, key_id: str) -> None:
        """Counts a request, even if the key has none left."""
        if self._per_minute is None:
            return
        left = self._left(key_id)
        self._buckets.pop(key_id, None)
        self._buckets[key_id] = (max(0.0, left - 1.0), self._clock())
        if len(self._buckets) > _REMEMBERED:
            del self._buckets[next(iter(self._buckets))]

    def _left(self, key_id: str) -> float:
        full, now = float(self._per_minute or 0), self._clock()
        left, at = self._buckets.get(key_id, (full, now))
        return min(full, left + (now - at) * full / 60)
