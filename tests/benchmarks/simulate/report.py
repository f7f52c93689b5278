"""Figures of simulated runs, and how they are written."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.benchmarks.simulate.simulator import Result
from tests.benchmarks.simulate.workloads import PER_NODE

CLASSES: dict[str, Callable[[int], bool]] = {
    "1": lambda workers: workers == 1,
    "2-4": lambda workers: 1 < workers < PER_NODE,
    "8": lambda workers: workers == PER_NODE,
    "16-64": lambda workers: workers > PER_NODE,
}
"""Sizes of gangs, in devices."""
_STARVED_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Waits are in minutes."""

    mean: float
    p99: float
    means: dict[str, float]
    """By class of size, as are the next ones."""
    p99s: dict[str, float]
    longest_8: float
    starved: int
    """Jobs that waited for more than a day."""
    utilisation: float
    jain: float
    preemptions: int


def figures(result: Result, devices: int) -> Figures:
    waits = [wait / 60 for _, wait in result.waits]
    by_class = {
        name: [wait / 60 for job, wait in result.waits if holds(job.workers)]
        for name, holds in CLASSES.items()
    }
    return Figures(
        mean=statistics.fmean(waits),
        p99=_quantile(waits, 0.99),
        means={name: statistics.fmean(each) for name, each in by_class.items() if each},
        p99s={name: _quantile(each, 0.99) for name, each in by_class.items() if each},
        longest_8=max(by_class["8"], default=0.0),
        starved=sum(wait > _STARVED_SECONDS for _, wait in result.waits),
        utilisation=result.held_seconds / (result.last_sent_at * devices),
        jain=result.fairness,
        preemptions=result.preemptions,
    )


def misses(ours: Figures, greedy: Figures, fifo: Figures, decisions_per_second: float) -> list[str]:
    """The bars that are not met. Waits of less than a tenth of a minute are the same."""
    bars = {
        "mean": ours.mean <= 1.05 * greedy.mean + 0.1,
        "longest 8": ours.longest_8 <= fifo.longest_8 + 0.1,
        "utilisation": ours.utilisation >= 0.95 * greedy.utilisation,
        "Jain": ours.jain >= 0.95,
        "decisions": decisions_per_second >= 1000,
    }
    return [name for name, is_met in bars.items() if not is_met]


def forecast_errors(
    forecasts: Iterable[tuple[str, float, float, float]], result: Result
) -> tuple[list[float], list[float]]:
    """The logarithms of the factors by which the times until starts and ends were longer than forecast. A
    minute more or less counts for little."""
    starts, ends = [], []
    for job_id, asked_at, starts_at, ends_at in forecasts:
        starts.append(_log_ratio(result.first_starts[job_id] - asked_at, starts_at - asked_at))
        ends.append(_log_ratio(result.ends[job_id] - asked_at, ends_at - asked_at))
    return starts, ends


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def minutes(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def median_and_p90(values: Sequence[float]) -> tuple[float, float]:
    return (_quantile(values, 0.5), _quantile(values, 0.9)) if values else (0.0, 0.0)


def _log_ratio(seconds: float, expected: float) -> float:
    return math.log((seconds + 60) / (expected + 60))


def _quantile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]
