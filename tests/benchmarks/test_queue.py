"""The benchmark of the queue runs on both databases. No test judges the figures themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.benchmark
def test_ticks_and_claims_are_measured_and_no_job_is_claimed_twice() -> None:
    arguments = ["--queued", "400", "--claimed", "200", "--ticks", "2"]
    command = [sys.executable, "-m", "tests.benchmarks.queue", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    header, _, *found = rows
    assert [row[0] for row in found] == ["sqlite", "postgresql"]
    for row in found:
        figures = dict(zip(header, row, strict=True))
        assert float(figures["Claims per second"]) > 0
        assert figures["Claimed twice"] == "0"
        assert float(figures["Tick: reads, ms"]) > 0
