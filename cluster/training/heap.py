"""What a process keeps of the memory that torch has freed, or of models that nothing uses any more."""

import ctypes
import gc
from contextlib import suppress

import torch

MAPPED_BYTES = 1 << 20
"""Blocks of this size or more go back to the system as soon as they are freed."""
_M_MMAP_THRESHOLD = -3


def return_freed_memory() -> bool:
    """Keeps glibc from holding on to freed blocks of MAPPED_BYTES or more: by default it raises its limit to
    32 MiB, and a worker on CPUs then needs up to twice the memory of its tensors. Call it before the first
    of them. Returns whether the C library knows the option."""
    with suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES))
    return False


def release_dropped_model(device: torch.device) -> None:
    """Frees a model that was just dropped, before another one is loaded. Models with weights in 4 bits or
    sharded weights refer to themselves, and would stay until Python happens to look for such cycles."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
