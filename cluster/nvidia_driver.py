"""NVIDIA's driver, and what torch needs of it."""

import re
from importlib.util import find_spec
from pathlib import Path

_LEAST_DRIVERS = {"11": 450, "12": 525, "13": 580}
"""Oldest major version of the driver, by major version of CUDA.
https://docs.nvidia.com/deploy/cuda-compatibility/"""


def least_driver(cuda: str) -> int | None:
    """Returns the major version of the oldest driver that runs programs for this version of CUDA, such as
    `13.0`. None for a version that this release does not know."""
    return _LEAST_DRIVERS.get(cuda.partition(".")[0])


def cuda_of_torch() -> str | None:
    """Returns the version of CUDA that the installed torch is built for, without importing it. None if there
    is no torch, or it is built without CUDA."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        source = Path(spec.origin).with_name("version.py").read_text()
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=\n]*= *'([\d.]+)'", source, re.MULTILINE)
    return found[1] if found else None
