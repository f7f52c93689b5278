"""Figures of simulated runs."""

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
    """Waits are in minutes: the time from sending to end in which a job did not get on."""

    mean: float
    p99: float
    means: dict[str, float]
    """By class of size, as are the next ones."""
    p99s: dict[str, float]
    by_priority: dict[str, float]
    """Mean waits."""
    longest_8: float
    starved: int
    """Jobs that waited for more than a day."""
    utilisation: float
    jain: float
    preemptions: int
    resizes: int
    until_start: float
    """Mean minutes from sending to the first start."""
    until_end: float
    """The same until the end."""
    decisions_per_second: float
    """Of one core, with all that the simulation does around them."""


def figures(result: Result, devices: int, decisions_per_second: float = 0.0) -> Figures:
    waits = [wait / 60 for _, wait in result.waits]
    by_class = {
        name: [wait / 60 for job, wait in result.waits if holds(job.workers)]
        for name, holds in CLASSES.items()
    }
    by_priority: dict[str, list[float]] = {"high": [], "normal": [], "low": []}
    for job, wait in result.waits:
        by_priority[job.priority].append(wait / 60)
    return Figures(
        mean=statistics.fmean(waits),
        p99=quantile(waits, 0.99),
        means={name: statistics.fmean(each) for name, each in by_class.items() if each},
        p99s={name: quantile(each, 0.99) for name, each in by_class.items() if each},
        by_priority={name: statistics.fmean(each or [0.0]) for name, each in by_priority.items()},
        longest_8=max(by_class["8"], default=0.0),
        starved=sum(wait > _STARVED_SECONDS for _, wait in result.waits),
        utilisation=result.held_seconds / (result.last_sent_at * devices),
        jain=result.fairness,
        preemptions=result.preemptions,
        resizes=result.resizes,
        until_start=statistics.fmean(
            (result.first_starts[job.job_id] - job.sent_at) / 60 for job, _ in result.waits
        ),
        until_end=statistics.fmean((result.ends[job.job_id] - job.sent_at) / 60 for job, _ in result.waits),
        decisions_per_second=decisions_per_second,
    )


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


def quantile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


def _log_ratio(seconds: float, expected: float) -> float:
    return math.log((seconds + 60) / (expected + 60))
