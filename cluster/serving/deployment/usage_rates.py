"""Which adapters are asked so much that each should have a deployment of its own, merged into its base."""

import math
import time
from collections.abc import Callable, Mapping, Set

_COOL = 0.5
"""Of the threshold, under which what was hot is so no more: one that is near it does not come and go."""
_COLD = 1e-3
"""Tokens a second, under which a model is forgotten."""


class UsageRates:
    """Tokens a second by model, over about the last `window_seconds`: each token counts for less the longer
    ago it was, by an exponential."""

    def __init__(self, window_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window_seconds
        self._clock = clock
        self._at = clock()
        self._rates: dict[str, float] = {}

    def add(self, tokens: Mapping[str, int]) -> None:
        """What was read and written since the last call."""
        for model, rate in self.rates().items():
            self._rates[model] = rate
        self._at = self._clock()
        for model, count in tokens.items():
            self._rates[model] = self._rates.get(model, 0.0) + count / self._window
        self._rates = {model: rate for model, rate in self._rates.items() if rate > _COLD}

    def rates(self) -> dict[str, float]:
        left = math.exp((self._at - self._clock()) / self._window)
        return {model: rate * left for model, rate in self._rates.items()}


def models_to_merge(
    rates: Mapping[str, float],
    hot: Set[str],
    *,
    refused: Set[str] = frozenset(),
    threshold: float,
    most: int,
) -> frozenset[str]:
    """Those at `threshold` tokens a second, and those that are `hot` already until they have cooled down to
    half of it, but for the `refused`; the hottest `most` of them, of which those that are hot already go
    before others."""
    wanted = [
        model
        for model, rate in rates.items()
        if model not in refused and rate >= threshold * (_COOL if model in hot else 1.0)
    ]
    wanted.sort(key=lambda model: (model in hot, rates[model]), reverse=True)
    return frozenset(wanted[:most])
