"""The benchmark of data reports runs in small and reports its figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark


def test_speed_memory_and_quality_are_reported() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.data_report", "--rows", "500"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rows_per_second"] > 0
    assert result["peak_memory_mib"] >= 0
    assert result["findings"]["near_duplicate"] > 0
    assert result["near_duplicates_recall"] > 0.9
