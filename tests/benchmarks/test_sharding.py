"""A short run of `make bench-sharding`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.benchmark
@pytest.mark.thorough
def test_no_worker_holds_more_than_its_part_of_the_model_while_it_loads_or_is_scored() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.sharding", "--shape", "small", "--types", "full"]
    done = subprocess.run([*command, "--steps", "1"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    (line,) = done.stdout.splitlines()
    found = json.loads(line)["full"]
    whole = 4 * found["parameters"]
    assert max(found["loading"]) < 0.7 * whole
    assert max(found["evaluating"]) < 0.5 * whole
    assert len(found["losses"]) == 1
