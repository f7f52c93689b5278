"""Returns memory to the system that torch has freed, and memory of models that are no longer used."""

import ctypes
import gc
from contextlib import suppress

import torch

MAPPED_BYTES = 1 << 20
"""Blocks of this size or more go back to the system as soon as they are freed."""
_M_MMAP_THRESHOLD = -3


def return_freed_memory() -> bool:
    """Keeps glibc from holding on to freed blocks of MAPPED_BYTES or more. By default it raises its threshold
    up to 32 MiB, and a worker on CPUs then needs up to twice the memory of its tensors. Call it before the
    first tensor is made. Returns whether the C library knows the option."""
    with suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES))
    return False


def release_dropped_model(device: torch.device) -> None:
    """Frees a model that was just dropped, before another one is loaded. Models with weights in 4 bits or
    sharded weights refer to themselves, and would stay in memory until Python happens to collect such
    cycles."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
