"""Finds adapters that are used enough to deserve a deployment of their own, merged into the base."""

import math
import time
from collections.abc import Callable, Mapping, Set

_COOL = 0.5
"""A hot adapter stays hot down to this share of the threshold, so that one near the threshold does not
flap."""
_COLD = 1e-3
"""Tokens per second below which a model is forgotten."""


class UsageRates:
    """Tokens per second by model: an average over about `window_seconds` with exponential decay."""

    def __init__(self, window_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window_seconds
        self._clock = clock
        self._at = clock()
        self._rates: dict[str, float] = {}

    def add(self, tokens: Mapping[str, int]) -> None:
        """Adds the prompt and completion tokens since the last call."""
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
    """Selects the models to be served merged: those at `threshold` tokens per second, and those already `hot`
    until they fall below half of it, except the `refused`. At most `most`: those already hot first, then by
    rate."""
    wanted = [
        model
        for model, rate in rates.items()
        if model not in refused and rate >= threshold * (_COOL if model in hot else 1.0)
    ]
    wanted.sort(key=lambda model: (model in hot, rates[model]), reverse=True)
    return frozenset(wanted[:most])
