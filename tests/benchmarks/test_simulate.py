"""The simulation of the scheduling policy runs and reports its figures, the same each time. No test judges
the figures themselves."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.simulate.elastic import as_elastic, at_fewest
from tests.benchmarks.simulate.runs import Case, outcome
from tests.benchmarks.simulate.shares import Shares
from tests.benchmarks.simulate.workloads import workload

ROOT = Path(__file__).parents[2]


def test_fairness_is_what_projects_hold_beside_their_max_min_shares() -> None:
    held = {"small": 1, "one": 2, "other": 5}
    shares = Shares(held)
    shares.want("one", 4)
    shares.pass_time(9.0)
    assert shares.jain() == 1.0, "nobody competes with itself"
    shares.want("other", 4)
    shares.pass_time(10.0)
    # The small one has all it wants, and 3.5 of the other 7 devices are due to each of the others.
    parts = [1.0, 2 / 3.5, 5 / 3.5]
    assert shares.jain() == pytest.approx(sum(parts) ** 2 / (3 * sum(part**2 for part in parts)))


def test_an_elastic_job_takes_as_many_device_seconds_with_the_fewest_workers() -> None:
    for job in workload("mixed gangs", 64, 50, 0):
        sizes, fewest = (job.workers, *as_elastic(job).smaller), at_fewest(job)
        assert fewest.workers == sizes[-1] == max(1, job.workers // 4)
        assert fewest.workers * fewest.seconds == pytest.approx(job.workers * job.seconds)


def test_a_run_is_simulated_once_and_then_remembered(tmp_path: Path) -> None:
    case = Case("bursts", 64, 60, 0, kind="elastic")
    first = outcome(case, tmp_path)
    (known,) = tmp_path.iterdir()
    assert outcome(case, tmp_path) == first
    assert first.figures.resizes > 0
    known.unlink()
    # Only the time that it takes is another one.
    again = replace(outcome(case, tmp_path).figures, decisions_per_second=0.0)
    assert again == replace(first.figures, decisions_per_second=0.0)


@pytest.mark.benchmark
def test_policies_are_compared_in_every_shape(tmp_path: Path) -> None:
    options = ["--jobs", "200", "--devices", "8", "64", "--draws", "2", "--remembered", str(tmp_path)]
    command = [sys.executable, "-m", "tests.benchmarks.simulate", *options]
    report, again = (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout
        for _ in range(2)
    )
    assert again == report
    for policy in ("FIFO", "greedy backfill", "strict fair share", "Tunery"):
        # In the table of all jobs and in that of the sizes, for two clusters and three shapes.
        assert report.count(f"| {policy} |") == 12
    for words in ("Of 30 bars", "Preemptions", "Resizes", "forecasts"):
        assert words in report
