"""The simulation of the scheduling policy runs and reports its figures, the same each time. No test judges
the figures themselves."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.simulate.shares import Shares

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


@pytest.mark.benchmark
def test_policies_are_compared_in_every_shape() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.simulate", "--jobs", "200", "--devices", "8", "64"]
    reports = [
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout
        for _ in range(2)
    ]
    first, second = (re.sub(r"[\d,]+ \|\n|, decisions|decisions", "|\n", report) for report in reports)
    assert first.split("Bars")[0] == second.split("Bars")[0]
    for policy in ("FIFO", "greedy backfill", "strict fair share", "Tunery"):
        # In the table of all jobs and in that of the sizes, for two clusters and three shapes.
        assert reports[0].count(f"| {policy} |") == 12
    assert "Preemptions" in reports[0]
    assert "forecasts" in reports[0]
