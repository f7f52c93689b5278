"""Finds workers that are much slower than the others of their gang: each step waits for the slowest."""

from collections import deque
from collections.abc import Sequence
from statistics import median, median_low
from typing import NamedTuple

_STEPS = 20
"""A worker is judged by its median over so many steps."""
_RATIO = 1.5
_AS_MUCH = 0.8
"""Share of a worker's tokens with which another one has about as much to do. Even if time grows with the
square of the tokens, that makes a difference of less than `_RATIO`."""


class Work(NamedTuple):
    """What one worker did for one step."""

    seconds: float
    """Seconds of its own passes, without waiting for others. 0 if that was not measured."""
    tokens: float


class Stragglers:
    def __init__(self) -> None:
        self._steps: deque[Sequence[Work]] = deque(maxlen=_STEPS)
        self._named: set[int] = set()

    def watch(self, step: Sequence[Work]) -> dict[int, float]:
        """Takes what each worker did. Returns the stragglers that are new, by rank, and how many times as
        long they take as those that have as much to do. None are known before twenty steps, and each is named
        once. Workers that share a model wait for each other within a pass, and none of them stands out."""
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
    """0 if no other worker has as much to do: the longest examples are always the same worker's."""
    own = each[rank]
    others = [work for other, work in enumerate(each) if other != rank]
    peers = [work.seconds for work in others if work.tokens >= _AS_MUCH * own.tokens]
    return own.seconds / median_low(peers) if peers else 0.0
