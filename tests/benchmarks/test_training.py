"""The training benchmark runs and reports all its figures. No test judges the figures themselves."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.benchmark, pytest.mark.thorough]

ROOT = Path(__file__).parents[2]


def run_benchmark(*arguments: str) -> dict[str, Any]:
    """Runs the benchmark and returns the line of JSON that it prints on stdout."""
    command = [sys.executable, "-m", "tests.benchmarks.training", "--shape", "tiny", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def test_the_training_loop_is_compared_with_hf_trainer_and_trl() -> None:
    result = run_benchmark("--cpu", "--chats", "24")
    assert set(result["ratios"]) == {
        "hf_trainer_padded",
        "hf_trainer_group_by_length",
        "trl_padded",
        "trl_packed",
    }


def test_the_gpu_comparison_has_a_dry_run() -> None:
    result = run_benchmark("--gpu", "--type", "full", "--chats", "24", "--batch-size", "8")
    assert set(result["ratios"]) == {"trl_packed_full", "trl_packed_full_1024"}
    assert set(result["peak_gib"]["full_1024"]) == {"ours", "trl_packed"}
