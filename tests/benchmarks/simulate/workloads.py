"""Jobs as people send them: three shapes, drawn from a seed."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cluster.contracts.jobs import Priority

PER_NODE = 8
LOAD = 0.85
"""Device-seconds of all jobs as a share of what the cluster has until the last one is sent."""
PROJECTS = 12
_MINUTE, _HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Job:
    job_id: str
    project_id: str
    priority: Priority
    sent_at: float
    workers: int
    seconds: float
    """What it takes with its workers, known to nobody before."""
    estimate: float
    """What is expected before it starts."""
    eta: float
    """What is expected once it trains: the whole time, from its start."""
    smaller: tuple[int, ...] = ()
    """Fewer workers with which an elastic job may run, the most first. Its times are in proportion."""


@dataclass(frozen=True, slots=True)
class _Draft:
    project: int
    workers: int
    planned: float


def workload(shape: str, devices: int, jobs: int, seed: int) -> list[Job]:
    """In the order in which they are sent."""
    # Seeded with text, so that it is the same in every process.
    draw = random.Random(f"{shape} {devices} {seed}")
    groups: list[list[_Draft]] = []
    count = 0
    for group in SHAPES[shape](draw, devices):
        groups.append(group[: jobs - count])
        count += len(groups[-1])
        if count == jobs:
            break
    total = sum(each.planned * each.workers for group in groups for each in group)
    mean_gap = total / (LOAD * devices) / len(groups)
    sent: list[Job] = []
    at = 0.0
    for group in groups:
        at += draw.expovariate(1 / mean_gap)
        for draft in group:
            sent.append(_job(draw, f"job-{len(sent)}", draft, at))
    return sent


def _job(draw: random.Random, job_id: str, draft: _Draft, at: float) -> Job:
    """Estimates are off by a factor of e^0.3 in one job of three, and one job of twenty stops early. Once it
    trains, its speed is known to 5 %."""
    planned = draft.planned
    seconds = planned * draw.uniform(0.2, 1.0) if draw.random() < 0.05 else planned
    (priority,) = draw.choices(("low", "normal", "high"), (2, 7, 1))
    return Job(
        job_id=job_id,
        project_id=f"proj-{draft.project:02}",
        priority=priority,
        sent_at=at,
        workers=draft.workers,
        seconds=seconds,
        estimate=planned * math.exp(draw.gauss(0.0, 0.3)),
        eta=planned * math.exp(draw.gauss(0.0, 0.05)),
    )


def _project(draw: random.Random) -> int:
    """Of 12, the busiest sends about as much as the five quietest together."""
    return draw.choices(range(PROJECTS), [1 / (place + 2) for place in range(PROJECTS)])[0]


def _gangs(devices: int, largest: int, falls: float) -> tuple[list[int], list[float]]:
    """Powers of 2. Each is `falls` times as frequent as the one before."""
    sizes = [2**power for power in range(int(math.log2(min(largest, devices))) + 1)]
    return sizes, [falls**place for place in range(len(sizes))]


def _heavy_tail(draw: random.Random, devices: int) -> Iterator[list[_Draft]]:
    """Mostly minutes, at times a day: a log-normal with a mean of three times its median."""
    sizes, weights = _gangs(devices, 8 if devices <= 64 else 32, 0.55)
    while True:
        seconds = min(max(draw.lognormvariate(math.log(15 * _MINUTE), 1.5), _MINUTE), 24 * _HOUR)
        yield [_Draft(_project(draw), draw.choices(sizes, weights)[0], seconds)]


def _bursts(draw: random.Random, devices: int) -> Iterator[list[_Draft]]:
    """Sweeps: a project sends up to a hundred jobs at once, over several sizes of models."""
    sizes, weights = _gangs(devices, 8 if devices <= 64 else 32, 0.5)
    while True:
        project = _project(draw)
        seconds = draw.lognormvariate(math.log(20 * _MINUTE), 0.8)
        number = 1 + int(min(draw.lognormvariate(math.log(12), 1.0), 100))
        yield [
            _Draft(project, draw.choices(sizes, weights)[0], seconds * draw.uniform(0.7, 1.3))
            for _ in range(number)
        ]


def _mixed_gangs(draw: random.Random, devices: int) -> Iterator[list[_Draft]]:
    """Up to the whole of a small cluster, or the 64 workers that a job may have; the larger, the longer."""
    sizes, weights = _gangs(devices, {8: 8, 64: 16}.get(devices, 64), 0.8)
    while True:
        workers = draw.choices(sizes, weights)[0]
        seconds = draw.lognormvariate(math.log(20 * _MINUTE * workers**0.25), 0.9)
        yield [_Draft(_project(draw), workers, seconds)]


SHAPES: dict[str, Callable[[random.Random, int], Iterator[list[_Draft]]]] = {
    "heavy tail": _heavy_tail,
    "bursts": _bursts,
    "mixed gangs": _mixed_gangs,
}
