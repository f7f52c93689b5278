"""Measures the peak memory of a process and its descendants."""

import threading
from contextlib import suppress
from types import TracebackType

import psutil

_SECONDS = 0.5


class Peak:
    """Samples memory between entering and leaving the context."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mib: dict[str, int] = {}
        """Peaks. `all`: all processes, with shared memory counted once. `training` and `serving`: the largest
        process of its kind, including shared memory."""

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_SECONDS):
            total = 0
            for process in [self._root, *self._root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    memory = process.memory_full_info()
                    total += memory.pss
                    self._update(_kind(process), memory.rss)
            self._update("all", total)

    def _update(self, kind: str, num_bytes: int) -> None:
        if kind:
            self.mib[kind] = max(self.mib.get(kind, 0), num_bytes // 2**20)


def _kind(process: psutil.Process) -> str:
    title = " ".join(process.cmdline())
    if title.startswith("ray::TrainingWorker"):
        return "training"
    return "serving" if title.startswith("ray::ServeReplica:engine") else ""
