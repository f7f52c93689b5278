"""No step of a large model touches tensors of two devices."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]


def test_steps_of_8b_and_70b_in_training_and_serving_and_restored_optimizers_stay_on_the_gpu() -> None:
    command = [sys.executable, "-m", "tests.cluster.training.fake_steps"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "8b lora supervised full",
        "8b full supervised full",
        "8b lora dpo full",
        "70b lora supervised full",
        "70b full dpo full",
        "8b served",
        "70b served",
    ]
