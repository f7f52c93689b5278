"""No step of a large model touches tensors of two devices."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiers import sampled

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[4]


STEPS = {
    "8b": ["8b lora supervised full", "8b full supervised full", "8b lora dpo full", "8b served"],
    "70b": ["70b lora supervised full", "70b full dpo full", "70b served"],
}


@pytest.mark.parametrize("size", sampled(STEPS, ["8b"]))
def test_steps_in_training_and_serving_and_restored_optimizers_stay_on_the_gpu(size: str) -> None:
    command = [sys.executable, "-m", "tests.cluster.training.fake_steps", size]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == STEPS[size]
