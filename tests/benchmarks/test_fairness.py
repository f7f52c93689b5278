"""The fairness benchmark runs and reports all its figures. No test judges the figures themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.benchmarks.fairness", "--bar", "1000"]


@pytest.mark.benchmark
@pytest.mark.thorough
def test_latency_is_measured_alone_and_during_a_flood_that_is_refused() -> None:
    arguments = ["--requests", "4", "--max-tokens", "16", "--flood-tokens", "32"]
    # A short queue fills up quickly, even on a busy host.
    environment = {**os.environ, "TUNERY_MAX_WAITING_CHOICES": "32"}
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert result["p95_ratio"] > 0
    assert result["flood"]["429"] > 0
    assert result["flood"]["answered"] > 0
