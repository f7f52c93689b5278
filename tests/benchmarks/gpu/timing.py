"""How long a function takes on a device."""

import time
from collections.abc import Callable

import torch

_TIMES = 5


def milliseconds(call: Callable[[], object], device: torch.device) -> float:
    """The fastest of a few calls, after one that warms up."""
    call()
    return round(min(_seconds(call, device) for _ in range(_TIMES)) * 1000, 2)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
