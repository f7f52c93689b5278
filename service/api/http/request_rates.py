"""How often one key may send requests that are not for models, which have limits of their own."""

import time
from collections.abc import Callable

from cluster.contracts.errors import RateLimited

_REMEMBERED = 10_000
"""Keys whose rates are kept. Beyond, those are dropped that have waited longest to be full again."""


class RequestRates:
    """Buckets that refill steadily, one for each key, in this process alone: it is the process that must be
    kept from drowning. Belongs to one event loop."""

    def __init__(self, per_minute: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """None admits everything."""
        self._per_minute, self._clock = per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """What is left, and when that was, by key; those that were used last come last."""

    def admit(self, key_id: str) -> None:
        """Counts a request. Raises RateLimited if the key has sent too many."""
        if self._per_minute is None:
            return
        now = self._clock()
        left, at = self._buckets.pop(key_id, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - at) * self._per_minute / 60)
        is_admitted = left >= 1.0
        self._buckets[key_id] = (left - 1.0 if is_admitted else left, now)
        if len(self._buckets) > _REMEMBERED:
            del self._buckets[next(iter(self._buckets))]
        if not is_admitted:
            raise RateLimited(
                f"Rate limit reached for requests of this API key: Limit {self._per_minute} a minute, beside "
                "requests to models.",
                unit="requests",
                retry_after_seconds=(1.0 - left) * 60 / self._per_minute,
            )
