"""The bars, and how figures are written."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.simulate.figures import Figures, quantile

_NOTHING = 0.1
"""Minutes. Waits that differ by less are the same."""


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    limit: float
    is_least: bool
    """Whether the figure is to be at least the limit, not at most."""
    of: Callable[[Figures, Figures, Figures], float]
    """The figure, of ours, greedy backfill and FIFO."""

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.is_least else value <= self.limit

    def text(self, value: float) -> str:
        return f"{value:,.0f}" if self.limit > 10 else f"{value:.2f}"

    def __str__(self) -> str:
        return f"{self.name} {'≥' if self.is_least else '≤'} {self.limit:,g}"


BARS = (
    Bar("Mean wait / greedy's", 1.05, False, lambda ours, greedy, _: _ratio(ours.mean, greedy.mean)),
    Bar("Longest of 8 / FIFO's", 1.0, False, lambda ours, _, fifo: _ratio(ours.longest_8, fifo.longest_8)),
    Bar("Utilisation / greedy's", 0.95, True, lambda ours, greedy, _: ours.utilisation / greedy.utilisation),
    Bar("Jain", 0.95, True, lambda ours, *_: ours.jain),
    Bar("Decisions/s", 1000, True, lambda ours, *_: ours.decisions_per_second),
)


def bar_figures(draws: Sequence[Mapping[str, Figures]]) -> list[list[float]]:
    """For each bar, its figure in each draw of the jobs. A draw has figures by policy."""
    return [[bar.of(draw["ours"], draw["greedy"], draw["fifo"]) for draw in draws] for bar in BARS]


def bar_cells(found: Sequence[Sequence[float]]) -> list[str]:
    """Those that are missed on average are bold."""
    cells = []
    for bar, values in zip(BARS, found, strict=True):
        text = spread(values, bar.text)
        cells.append(text if bar.is_met(statistics.fmean(values)) else f"**{text}**")
    return cells


def misses(cell: str, found: Sequence[Sequence[float]]) -> list[str]:
    """A line for each bar that is missed on average, or in some draw."""
    lines = []
    for bar, values in zip(BARS, found, strict=True):
        mean, missed = statistics.fmean(values), sum(not bar.is_met(value) for value in values)
        if missed:
            how = "is met on average" if bar.is_met(mean) else "is missed"
            lines.append(
                f"- {cell}: {bar} {how}, with {bar.text(mean)}; {missed} of {len(values)} draws miss it."
            )
    return lines


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def minutes(value: float) -> str:
    # What was added up is not always exactly nothing.
    return f"{value:,.0f}" if value >= 10 else f"{max(0.0, value):.1f}"


def spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    """The mean, and the range if it shows."""
    mean, low, high = text(statistics.fmean(values)), text(min(values)), text(max(values))
    return mean if low == high else f"{mean} ({low} to {high})"


def median_and_p90(values: Sequence[float]) -> tuple[float, float]:
    return (quantile(values, 0.5), quantile(values, 0.9)) if values else (0.0, 0.0)


def _ratio(ours: float, other: float) -> float:
    return max(0.0, ours - _NOTHING) / max(other, _NOTHING)
