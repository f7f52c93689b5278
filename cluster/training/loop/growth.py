"""Finds how many tokens fit into a pass of workers that share a model, without running out of memory.

Such workers wait for each other within a pass, so a worker that runs out of memory there cannot repeat it.
Passes therefore begin with a quarter of the tokens, and double as long as all workers have room for what the
previous passes took."""

from dataclasses import dataclass, field
from typing import Protocol

import torch

SHARE = 0.92
"""Share of the device's memory that a pass may take, because the allocator leaves gaps."""
FIRST = 4
"""The first passes have the wanted number of tokens divided by this."""


class DeviceMemory(Protocol):
    """A device's memory in bytes."""

    @property
    def total(self) -> int:
        """Total memory that this process may use."""

    def used(self) -> int:
        """Memory in use now. Restarts the measurement of the peak."""

    def peak(self) -> int:
        """Peak since the last `used`."""


class CudaMemory:
    def __init__(self, device: torch.device) -> None:
        self._device = device

    @property
    def total(self) -> int:
        """The total without what CUDA, NCCL and other processes hold, which the allocator does not
        know of."""
        free, _ = torch.cuda.mem_get_info(self._device)
        return int(free) + torch.cuda.memory_reserved(self._device)

    def used(self) -> int:
        torch.cuda.reset_peak_memory_stats(self._device)
        return torch.cuda.memory_allocated(self._device)

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self._device)


@dataclass(slots=True)
class Growth:
    """The number of tokens in a pass of one worker, over the steps of a run."""

    memory: DeviceMemory
    wanted: int
    """Tokens."""
    tokens: int = 0
    is_over: bool = False
    _used: int = 0
    _seen: dict[int, int] = field(default_factory=dict)
    """Bytes that passes added to what was in use before them, by the number of tokens."""

    def __post_init__(self) -> None:
        self.tokens = max(1, self.wanted // FIRST)

    def begin(self) -> bool:
        """Called before the passes of a step. Returns whether this worker has room for passes twice as
        large."""
        self._used = self.memory.used()
        if not self._seen:
            return False
        return self._used + needed(self._seen, 2 * self.tokens) <= SHARE * self.memory.total

    def end(self, longest: int) -> None:
        """Called after the passes of a step, with the tokens of the largest pass."""
        self._seen[longest] = max(self._seen.get(longest, 0), self.memory.peak() - self._used)

    def decide(self, *, has_room: bool) -> None:
        """Doubles the tokens if all workers have room; otherwise ends the growth for all of them."""
        if not self._seen:
            return
        self.tokens = min(2 * self.tokens, self.wanted) if has_room else self.tokens
        self.is_over = not has_room or self.tokens == self.wanted


def needed(seen: dict[int, int], tokens: int) -> int:
    """Estimates the bytes of a pass from those of passes with other numbers of tokens: on the line through
    the two largest, or in proportion if there is only one. Never less than what was seen."""
    *_, largest = sorted(seen)
    smaller = [each for each in seen if each < largest]
    if not smaller or tokens <= largest:
        return max(seen[largest], seen[largest] * tokens // max(1, largest))
    before = max(smaller)
    slope = max(0.0, (seen[largest] - seen[before]) / (largest - before))
    return int(seen[largest] + slope * (tokens - largest))
