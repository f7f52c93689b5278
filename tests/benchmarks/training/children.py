"""Runs trainers one after another, each in a fresh process, so that they share no memory, cache or thread."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.training.task import Measurement, Task

ROOT = Path(__file__).parents[3]

NEEDS = {
    "ours": (),
    "hf_trainer_padded": ("accelerate",),
    "hf_trainer_group_by_length": ("accelerate",),
    "trl_padded": ("accelerate", "datasets", "trl"),
    "trl_packed": ("accelerate", "datasets", "trl"),
}
"""All trainers, with the packages that each needs besides torch, transformers and peft."""

LIMIT_SECONDS = 3600


def measure_all(trainers: Sequence[str], task: Task) -> dict[str, Measurement]:
    """Measurements by trainer. Reports and skips trainers whose packages are missing."""
    measured = {}
    for trainer in trainers:
        missing = [name for name in NEEDS[trainer] if importlib.util.find_spec(name) is None]
        if missing:
            report(f"{trainer}: skipped, {', '.join(missing)} not installed")
            continue
        began = time.monotonic()
        measured[trainer] = measure_one(trainer, task)
        report(
            f"{trainer}: {measured[trainer].tokens_per_second:,.0f} tokens per second; "
            f"took {time.monotonic() - began:.0f} s in total"
        )
    return measured


def measure_one(trainer: str, task: Task) -> Measurement:
    """Runs the trainer and passes its stderr through. Raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", "tests.benchmarks.training.child", trainer, json.dumps(asdict(task))]
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": str(task.threads),
        "PYTHONWARNINGS": "ignore",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **quiet},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=LIMIT_SECONDS,
    )
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
