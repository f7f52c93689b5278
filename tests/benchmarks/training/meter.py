"""Measures one training run, inside its process."""

import resource
import sys
import time
from pathlib import Path

import torch

from tests.benchmarks.training.task import Measurement, Task


class Meter:
    """Measures the time, tokens and losses of steps. The first step warms up and is not counted."""

    def __init__(self, trainer: str, task: Task, *, total_steps: int) -> None:
        self._trainer, self._task, self._total_steps = trainer, task, total_steps
        self._on_gpu = task.is_gpu and torch.cuda.is_available()
        self._loaded_bytes = self._bytes_now()
        self._losses: list[float] = []
        self._tokens = 0
        self._began = self._ended = 0.0

    def step(self, *, tokens: int, loss: float) -> None:
        """Call at the end of each step, with the number of real tokens it trained on."""
        self._ended = self._now()
        self._losses.append(loss)
        if len(self._losses) == 1:
            self._began = self._ended
            return
        self._tokens += tokens
        if len(self._losses) % max(1, self._total_steps // 5) == 0:
            speed = self._tokens / (self._ended - self._began)
            print(
                f"  {self._trainer}: step {len(self._losses)} of {self._total_steps}, loss {loss:.3f}, "
                f"{speed:,.0f} tokens per second",
                file=sys.stderr,
                flush=True,
            )

    def measurement(
        self, *, flops: float | None = None, peak: float | None = None, note: str = ""
    ) -> Measurement:
        """`flops`: useful operations in the counted steps. `peak`: operations per second of the device."""
        seconds = self._ended - self._began
        return Measurement(
            trainer=self._trainer,
            tokens=self._tokens,
            seconds=seconds,
            mfu=None if flops is None or peak is None else flops / seconds / peak,
            loaded_bytes=self._loaded_bytes,
            peak_bytes=self._peak_bytes(),
            losses=self._losses,
            note=note,
        )

    def _now(self) -> float:
        if not self._task.is_gpu:
            return time.process_time()
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.monotonic()

    def _bytes_now(self) -> int:
        if self._on_gpu:
            return torch.cuda.memory_allocated()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def _peak_bytes(self) -> int:
        if self._on_gpu:
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
