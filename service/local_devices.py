"""Finds what this machine can train on."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster.contracts.devices import Pool

_QUERY = ["--query-gpu=memory.total", "--format=csv,noheader,nounits"]
_SECONDS = 30
_CGROUP = Path("/sys/fs/cgroup/memory.max")

Run = Callable[[Sequence[str]], str]


def local_pool(*, workers: int) -> Pool:
    """This machine as a pool: its NVIDIA GPUs or, without any, processors on which `workers` train."""
    gpus = gpu_bytes()
    if gpus:
        # GPUs of different sizes: a job must fit into the smallest that it may be given.
        return Pool(
            name="local",
            kind="cuda",
            devices=len(gpus),
            device_bytes=min(gpus),
            host_bytes=host_bytes(),
        )
    return Pool(name="local", kind="cpu", devices=workers, host_bytes=host_bytes())


def gpu_bytes(run: Run | None = None) -> list[int]:
    """Memory of each NVIDIA GPU; empty if there is none, or no driver."""
    run = run or _nvidia_smi
    try:
        lines = run(_QUERY).split()
        return [int(line) * 2**20 for line in lines]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def host_bytes(limit: Path = _CGROUP) -> int:
    """Memory of this machine, or of the container that this process is in."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(limit.read_text()))
    except (OSError, ValueError):  # There is no limit, or it says "max".
        return physical


def _nvidia_smi(query: Sequence[str]) -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    done = subprocess.run([command, *query], capture_output=True, text=True, timeout=_SECONDS, check=True)
    return done.stdout
