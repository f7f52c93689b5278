"""Copies of a state in the host's memory, which are written while training continues.

If the plan has accounted for the memory of nodes, the copies of a GPU's tensors are page-locked. The GPU then
writes them by DMA, several times as fast."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from cluster.contracts.plan import Footprint

_ALIGNMENT = 64
"""Alignment of a tensor's address, in bytes."""
_PORTABLE = 1
"""Flag for memory that is page-locked in all of a process's CUDA contexts (cudaHostRegisterPortable)."""


class PageLock(Protocol):
    """Page-locks memory, so that a GPU can write to it without the processor."""

    def lock(self, memory: Tensor) -> bool:
        """Locks the memory. Returns whether that was possible."""

    def unlock(self, memory: Tensor) -> None: ...

    def wait(self) -> None:
        """Returns once all copies have arrived."""


class CudaPageLock:
    """Page-locks with CUDA, exactly the bytes that are needed: torch's pinned memory is rounded up to a power
    of two."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def lock(self, memory: Tensor) -> bool:
        is_locked = int(_cuda().cudaHostRegister(memory.data_ptr(), memory.nbytes, _PORTABLE)) == 0
        if not is_locked:
            # CUDA remembers the refusal until the next kernel, which would raise it: in the middle of a step.
            with suppress(RuntimeError):
                torch.ones(1, device=self._device).add_(1)
        return is_locked

    def unlock(self, memory: Tensor) -> None:
        _cuda().cudaHostUnregister(memory.data_ptr())

    def wait(self) -> None:
        torch.cuda.current_stream(self._device).synchronize()


def page_lock(device: torch.device, footprint: Footprint | None) -> PageLock | None:
    """Returns None on a CPU, and if the plan has not compared the copies with the memory of a node."""
    has_room = footprint is not None and footprint.pool.host_bytes is not None
    return CudaPageLock(device) if device.type == "cuda" and has_room else None


class Staging:
    """Copies this worker's parts of tensors to the host's memory, into the same buffers each time."""

    def __init__(self, page_lock: PageLock | None = None) -> None:
        self._page_lock = page_lock
        self._memory: Tensor | None = None
        """One page-locked block for all buffers: separate locks of small buffers would overlap in pages."""
        self._buffers: dict[str, Tensor] = {}

    @torch.no_grad()
    def copy(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies the tensors. The copies of the previous call are overwritten, so they must no longer be
        needed."""
        parts = {
            name: tensor.to_local() if isinstance(tensor, DTensor) else tensor
            for name, tensor in tensors.items()
        }
        if self._page_lock is not None and any(part.device.type != "cpu" for part in parts.values()):
            locked = self._locked_buffers(parts, self._page_lock)
            if locked is not None:
                self._buffers = locked
                for name, part in parts.items():
                    locked[name].copy_(part, non_blocking=True)
                self._page_lock.wait()
                return dict(locked)
        self._buffers = {name: self._buffer(name, part).copy_(part) for name, part in parts.items()}
        return dict(self._buffers)

    def close(self) -> None:
        """Unlocks the memory. Whoever holds the last copies may still read them."""
        if self._memory is not None:
            assert self._page_lock is not None
            self._page_lock.unlock(self._memory)
        self._memory, self._buffers = None, {}

    def _buffer(self, name: str, part: Tensor) -> Tensor:
        buffer = self._buffers.get(name)
        if buffer is None or (buffer.shape, buffer.dtype) != (part.shape, part.dtype):
            buffer = torch.empty(part.shape, dtype=part.dtype)
        return buffer

    def _locked_buffers(self, parts: Mapping[str, Tensor], page_lock: PageLock) -> dict[str, Tensor] | None:
        """Makes the buffers one after the other in page-locked memory. Returns None if it cannot be locked,
        now or ever again."""
        size = sum(_aligned(part.nbytes) for part in parts.values())
        if self._memory is None or self._memory.nbytes < size:
            self.close()
            memory = torch.empty(size, dtype=torch.uint8)
            if not page_lock.lock(memory):
                self._page_lock = None
                return None
            self._memory = memory
        buffers, start = {}, 0
        for name, part in parts.items():
            piece = self._memory[start : start + part.nbytes]
            buffers[name] = piece.view(part.dtype).view(part.shape)
            start += _aligned(part.nbytes)
        return buffers


def _cuda() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
