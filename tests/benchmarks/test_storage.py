"""A short run of `make bench-storage`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.benchmark
def test_a_file_goes_to_a_distant_store_faster_in_parallel_parts() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.storage", "--mib", "32"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert result["ratio"] > 1
    assert result["peak_python_mib"] < 30
