"""The software and the device that train, as a manifest records them."""

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from cluster.contracts.provenance import Environment

PACKAGES = (
    "tunery",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "bitsandbytes",
    "safetensors",
    "numpy",
    "ray",
)
_SOURCE = Path(__file__).parents[2]
"""The package `cluster`."""


def environment(device: torch.device) -> Environment:
    return Environment(versions=_versions(), code_sha256=_code_sha256(), device=device_name(device))


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def _code_sha256() -> str:
    """Identifies the code even where a package's version does not, as in a clone."""
    total = hashlib.sha256()
    for path in sorted(_SOURCE.rglob("*.py")):
        total.update(path.relative_to(_SOURCE).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
