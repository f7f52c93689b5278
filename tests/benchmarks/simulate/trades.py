"""What a shorter or longer ageing cap, and other draws of the jobs, make of the figures."""

from collections.abc import Sequence
from dataclasses import replace

from service.scheduling.policy.snapshot import Rules
from tests.benchmarks.simulate.ours import Ours
from tests.benchmarks.simulate.report import Figures, figures
from tests.benchmarks.simulate.rivals import Fifo, Greedy
from tests.benchmarks.simulate.simulator import simulate
from tests.benchmarks.simulate.workloads import Job, workload

AGEING_HOURS = (2, 96)
"""Beside the default of 24."""
_SEEDS = (1, 2)
"""Beside that of the run."""


def with_ageing(jobs: list[Job], devices: int, greedy: Figures, fifo: Figures) -> list[str]:
    """A cell for each cap."""
    cells = []
    for hours in AGEING_HOURS:
        scheduler = Ours(Rules(ageing_seconds=hours * 3600.0), forecasts=False)
        ours = figures(simulate(jobs, devices, scheduler), devices)
        cells.append(cell(ours, greedy, fifo))
    return cells


def cell(ours: Figures, greedy: Figures, fifo: Figures) -> str:
    """Mean wait beside greedy backfill's, longest of 8 GPUs beside FIFO's, and Jain's index."""
    return " · ".join(f"{value:.2f}" for value in _values(ours, greedy, fifo))


def over_seeds(
    shape: str, devices: int, number: int, seed: int, found: Sequence[Figures]
) -> tuple[str, str, str]:
    """From the lowest to the highest of three draws. `found` are the figures of ours, greedy backfill and
    FIFO with `seed`."""
    runs = [_values(*found)]
    for other in _SEEDS:
        drawn = workload(shape, devices, number, seed + other)
        jobs = [replace(job, priority="normal") for job in drawn]
        policies = (Ours(Rules(), forecasts=False), Greedy(), Fifo())
        runs.append(_values(*(figures(simulate(jobs, devices, each), devices) for each in policies)))
    mean, longest, jain = (f"{min(values):.2f} to {max(values):.2f}" for values in zip(*runs, strict=True))
    return mean, longest, jain


def _values(ours: Figures, greedy: Figures, fifo: Figures) -> tuple[float, float, float]:
    # A tenth of a minute is nothing.
    mean = (ours.mean + 0.1) / (greedy.mean + 0.1)
    return mean, (ours.longest_8 + 0.1) / (fifo.longest_8 + 0.1), ours.jain
