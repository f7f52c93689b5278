"""A short run of `make bench-checkpoints`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.benchmark
def test_steps_are_taken_during_a_slow_upload() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.checkpoints", "--epochs", "2", "--rows", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr + done.stdout
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["steps_during_uploads"] > 1
