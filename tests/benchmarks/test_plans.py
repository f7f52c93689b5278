"""The comparison of plans with runs works. No test judges the figures."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]


def test_planned_memory_is_compared_with_that_of_runs() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.plans", "--tiny"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[1] for row in rows] == ["1 single", "2 fsdp"]
    for row in rows:
        planned, measured = (int(each.replace(",", "")) for each in row[2:4])
        assert planned > 0
        assert measured > 0
