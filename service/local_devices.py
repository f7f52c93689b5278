"""Finds what this machine can train on."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cluster.contracts.devices import Pool

_QUERY = ["--query-gpu=memory.total", "--format=csv,noheader,nounits"]
_SECONDS = 30
_CGROUP = Path("/sys/fs/cgroup/memory.max")

Run = Callable[[Sequence[str]], str]


def local_pool(gpus: Sequence[int], *, workers: int) -> Pool:
    """This machine as a pool: `gpus` are the bytes of the GPUs that training may have. Without any, its
    processors, on which `workers` train."""
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


def training_environment(given: Mapping[str, str], gpus: Sequence[int], *, workers: int) -> dict[str, str]:
    """The variables that say what this machine trains on, apart from those that are `given`. `gpus` are the
    bytes of all GPUs here, one of which is left to serving if there are several; `workers` train on a machine
    without."""
    if given.get("TUNERY_TRAINING_DEVICE", "cuda") == "cpu":
        gpus = []
    pool = local_pool(gpus[serving_gpus(given, gpus) :], workers=workers)
    found = {
        "TUNERY_TRAINING_DEVICE": pool.kind,
        "TUNERY_TRAINING_SLOTS": str(pool.devices),
        "TUNERY_TRAINING_POOLS": f"[{pool.model_dump_json()}]",
    }
    if given.get("TUNERY_TRAINING_DEVICE", pool.kind) != pool.kind:
        # GPUs that cannot be found: what they are is not known.
        del found["TUNERY_TRAINING_POOLS"]
    return {name: given.get(name) or value for name, value in found.items()}


def serving_gpus(given: Mapping[str, str], gpus: Sequence[int]) -> int:
    """How many of this machine's GPUs are reserved for serving. A single one is shared with training, and
    jobs on CPUs leave serving all of them."""
    return 1 if len(gpus) > 1 and given.get("TUNERY_TRAINING_DEVICE", "cuda") == "cuda" else 0


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
