"""Device-seconds that lose half of their weight after each half-life."""

import math


def decayed(device_seconds: float, *, since: float, at: float, half_life: float) -> float:
    """What is left at `at` of an amount measured at `since`."""
    return device_seconds * _share(at - since, half_life)


def decayed_use(devices: int, start: float, end: float, *, at: float, half_life: float) -> float:
    """What is left at `at` of the use of `devices` from `start` to `end`: the integral of the decay."""
    if end <= start:
        return 0.0
    second = half_life / math.log(2)
    return devices * second * (_share(at - end, half_life) - _share(at - start, half_life))


def _share(seconds: float, half_life: float) -> float:
    """Share of an amount that is left after `seconds`."""
    return math.pow(0.5, max(0.0, seconds) / half_life)
