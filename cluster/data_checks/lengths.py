"""How long examples are: a histogram that takes memory for every distinct length only."""

from cluster.contracts.data_report import LengthBucket, Lengths, LengthUnit


class LengthCounts:
    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, length: int) -> None:
        self._counts[length] = self._counts.get(length, 0) + 1

    def lengths(self, unit: LengthUnit) -> Lengths | None:
        if not self._counts:
            return None
        ordered = sorted(self._counts.items())
        num = sum(count for _, count in ordered)
        total = sum(length * count for length, count in ordered)
        return Lengths(
            unit=unit,
            total=total,
            shortest=ordered[0][0],
            longest=ordered[-1][0],
            mean=round(total / num, 1),
            p50=_percentile(ordered, num, 50),
            p90=_percentile(ordered, num, 90),
            p99=_percentile(ordered, num, 99),
            histogram=_histogram(ordered),
        )


def _percentile(ordered: list[tuple[int, int]], num: int, percent: int) -> int:
    """The shortest length that at least `percent` of all examples do not exceed."""
    seen = 0
    for length, count in ordered:
        seen += count
        if seen * 100 >= num * percent:
            return length
    raise AssertionError


def _histogram(ordered: list[tuple[int, int]]) -> list[LengthBucket]:
    counts: dict[int, int] = {}
    for length, count in ordered:
        bound = 1 << max(0, length - 1).bit_length()
        counts[bound] = counts.get(bound, 0) + count
    return [LengthBucket(up_to=bound, count=count) for bound, count in counts.items()]
