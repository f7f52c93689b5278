"""Finds items that differ from nearly all others, such as a script or a system prompt."""

from collections.abc import Callable, Hashable, Iterator

from cluster.contracts.data_report import MAX_PLACES, FindingPlace

_MOST_DISTINCT = 10_000
"""Maximum number of kinds that are counted. In a file with more, kinds that are first seen later can no
longer become the usual one."""


class Majority:
    """Counts things by kind. Takes memory for _MOST_DISTINCT kinds and 2 * MAX_PLACES places."""

    def __init__(self, *, share: float, least: int) -> None:
        """A kind is usual if at least `share` of all things are of that kind. Among fewer than `least`
        things, no kind is usual."""
        self._share, self._least = share, least
        self._counts: dict[Hashable, int] = {}
        self._total = 0
        # Keeps the first places of each kind, until there are enough of any two kinds. Whichever kind turns
        # out to be usual, the first places of the others are then among them.
        self._places: list[tuple[Hashable, FindingPlace]] = []
        self._num_kept: dict[Hashable, int] = {}

    def add(self, kind: Hashable, place: Callable[[], FindingPlace]) -> None:
        self._total += 1
        if kind in self._counts or len(self._counts) < _MOST_DISTINCT:
            self._counts[kind] = self._counts.get(kind, 0) + 1
        if len(self._places) < 2 * MAX_PLACES and self._num_kept.get(kind, 0) < MAX_PLACES:
            self._num_kept[kind] = self._num_kept.get(kind, 0) + 1
            self._places.append((kind, place()))

    def unusual(self) -> Iterator[tuple[Hashable, FindingPlace]]:
        """Yields the first places, in order, of things that are not of the usual kind."""
        if self.num_unusual:
            usual = self._usual
            yield from ((kind, place) for kind, place in self._places if kind != usual)

    @property
    def num_unusual(self) -> int:
        """Number of things that are not of the usual kind; 0 if no kind is usual."""
        if self._total < self._least or self._counts[self._usual] < self._share * self._total:
            return 0
        return self._total - self._counts[self._usual]

    @property
    def _usual(self) -> Hashable:
        return max(self._counts, key=self._counts.__getitem__)
