"""Finds workers that are much slower than the rest of their gang, because each step waits for the slowest."""

from collections import deque
from collections.abc import Sequence
from statistics import median, median_low
from typing import NamedTuple

_STEPS = 20
"""A worker is judged by its median over this many steps."""
_RATIO = 1.5
_AS_MUCH = 0.8
"""Another worker has about as much work as a given one if it has at least this share of its tokens. Even if
time grows with the square of the tokens, that makes a difference of less than `_RATIO`."""


class Work(NamedTuple):
    """The work of one worker for one step."""

    seconds: float
    """Seconds of the worker's own passes, without waiting for others. 0 if that was not measured."""
    tokens: float


class Stragglers:
    def __init__(self) -> None:
        self._steps: deque[Sequence[Work]] = deque(maxlen=_STEPS)
        self._named: set[int] = set()

    def watch(self, step: Sequence[Work]) -> dict[int, float]:
        """Records what each worker did. Returns the new stragglers by rank, each with how many times as long
        it takes as the workers with about as much work. There are none before twenty steps, and each is
        returned once. Workers that share a model wait for each other within a pass, so none of them stands
        out."""
        if len(step) < 2 or not all(work.seconds > 0 for work in step):
            return {}
        self._steps.append(step)
        if len(self._steps) < _STEPS:
            return {}
        each = [
            Work(median(work.seconds for work in works), sum(work.tokens for work in works))
            for works in zip(*self._steps, strict=True)
        ]
        ratios = {rank: _ratio(rank, each) for rank in range(len(each)) if rank not in self._named}
        found = {rank: ratio for rank, ratio in ratios.items() if ratio > _RATIO}
        self._named.update(found)
        return found


def _ratio(rank: int, each: Sequence[Work]) -> float:
    """Returns 0 if no other worker has as much work: the longest examples always go to the same worker."""
    own = each[rank]
    others = [work for other, work in enumerate(each) if other != rank]
    peers = [work.seconds for work in others if work.tokens >= _AS_MUCH * own.tokens]
    return own.seconds / median_low(peers) if peers else 0.0
