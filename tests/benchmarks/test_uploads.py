"""A short run of `make bench-uploads`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.benchmark
def test_an_upload_of_several_parts_is_whole_and_takes_neither_memory_nor_more_than_twice_its_space() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.uploads", "--mib", "200", "--row-bytes", "100000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert (result["parts"], result["status"], result["is_whole"]) == (4, "processed", True)
