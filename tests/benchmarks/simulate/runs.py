"""One simulated run, and what is remembered of it: with the same code and the same jobs, it is the same."""

import hashlib
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from service.scheduling.policy.snapshot import Rules
from tests.benchmarks.simulate.elastic import as_elastic, at_fewest
from tests.benchmarks.simulate.figures import Figures, figures, forecast_errors
from tests.benchmarks.simulate.ours import Ours
from tests.benchmarks.simulate.rivals import Fifo, Greedy, StrictFairShare
from tests.benchmarks.simulate.simulator import Scheduler, simulate
from tests.benchmarks.simulate.workloads import Job, workload

_ROOT = Path(__file__).parents[3]
_SOURCES = ("tests/benchmarks/simulate", "service/scheduling/policy", "service/db/usage/decay.py")
_REPORTS = {"__main__.py", "charts.py", "report.py"}
"""They change no figure."""


def _alike(job: Job) -> Job:
    return replace(job, priority="normal")


_JOBS: dict[str, Callable[[Job], Job]] = {
    "alike": _alike,
    "priorities": lambda job: job,
    "elastic": lambda job: as_elastic(_alike(job)),
    "fewest": lambda job: at_fewest(_alike(job)),
}
_RIVALS: dict[str, Callable[[], Scheduler]] = {
    "fifo": Fifo,
    "greedy": Greedy,
    "strict": lambda: StrictFairShare(Rules().half_life_seconds),
}


@dataclass(frozen=True, slots=True)
class Case:
    shape: str
    devices: int
    jobs: int
    seed: int
    policy: str = "ours"
    """Or one of the rivals."""
    kind: str = "alike"
    """Of jobs: of one priority, or with priorities; elastic, or with the fewest workers of elastic ones."""
    ageing_hours: float = 24.0
    forecasts: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    figures: Figures
    start_errors: list[float]
    """Of forecasts, as are the next ones."""
    end_errors: list[float]


def outcome(case: Case, folder: Path) -> Outcome:
    """Simulates only what `folder` does not remember."""
    key = hashlib.sha256(f"{_sources()} {case}".encode()).hexdigest()[:32]
    path = folder / f"{key}.pickle"
    if path.exists():
        known: Outcome = pickle.loads(path.read_bytes())
        return known
    found = _simulated(case)
    folder.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_bytes(pickle.dumps(found))
    path.with_suffix(".new").rename(path)
    return found


def _simulated(case: Case) -> Outcome:
    jobs = [_JOBS[case.kind](job) for job in workload(case.shape, case.devices, case.jobs, case.seed)]
    if case.policy in _RIVALS:
        result = simulate(jobs, case.devices, _RIVALS[case.policy]())
        return Outcome(figures(result, case.devices), [], [])
    ours = Ours(Rules(ageing_seconds=case.ageing_hours * 3600.0), forecasts=case.forecasts)
    # Of a second of the processor, everything included that brings the policy its snapshots.
    began = time.process_time()
    result = simulate(jobs, case.devices, ours)
    rate = ours.decisions / (time.process_time() - began)
    return Outcome(figures(result, case.devices, rate), *forecast_errors(ours.forecasts, result))


@cache
def _sources() -> str:
    """What figures depend on."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        path = _ROOT / name
        for each in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            if each.name not in _REPORTS:
                digest.update(each.read_bytes())
    return digest.hexdigest()
