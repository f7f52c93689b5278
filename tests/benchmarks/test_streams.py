"""A short run of `make bench-streams`: many streams over many adapters."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.load.memory import Memory

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tests.benchmarks.streams"]


@pytest.mark.benchmark
@pytest.mark.thorough
def test_concurrent_streams_of_many_adapters_get_their_own_answers_and_free_their_slots() -> None:
    arguments = ["--seconds", "5", "--streams", "40", "--adapters", "4", "--projects", "2"]
    done = subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert (result["errors"], result["mixed_up"], result["slots_freed"]) == (0, 0, True)
    assert result["streams"] >= 40
    assert result["broken_off"] > 0
    assert set(result["rss_mib_by_third"]) == {"api", "engine", "proxy"}


def test_memory_that_grows_after_the_first_third_is_reported() -> None:
    growing = [(float(second), 100.0 + max(0, second - 40)) for second in range(121)]
    settled = [(float(second), min(100.0 + second, 140.0)) for second in range(121)]
    assert Memory({"leaks": growing, "settles": settled}).grown() == ["leaks"]
