"""Runs systems one after another, each in a fresh process, so that they share no memory, cache or thread."""

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
"""Where `make peers` installs systems: vLLM in its own environment, llama.cpp in a folder of modules."""


def measure_all(systems: list[str], task: Task) -> dict[str, dict[int, Measurement]]:
    """Measurements by system and level. The process for `ours` measures `no_lora` as well."""
    measured = {}
    for system in systems:
        if (needed := INSTALLED.get(system)) is not None and not (needed / "installed").exists():
            report(f"{system}: skipped, because `make peers` has not created {needed.name}")
            continue
        began = time.monotonic()
        for name, levels in run_child(system, task).items():
            measured[name] = {int(level): Measurement(**fields) for level, fields in levels.items()}
            speeds = [
                f"{measurement.tokens_per_second:,.0f} at {level}"
                for level, measurement in measured[name].items()
            ]
            report(f"{name}: {', '.join(speeds)} tokens per CPU-second")
        report(f"{system} took {time.monotonic() - began:.0f} s in total")
    return measured


def run_child(system: str, task: Task) -> Any:
    """The JSON that the child prints. Its stderr is passed through. Raises CalledProcessError if it fails."""
    python = INSTALLED[system] / "bin" / "python" if system == "vllm_cpu" else Path(sys.executable)
    command = [python, "-m", "tests.benchmarks.serving.child", system, json.dumps(asdict(task))]
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(task.threads),
        # As in replicas: threads that wait for work do not spin and take CPU time from others.
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


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
