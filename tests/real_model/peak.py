"""The most memory that a process and everything under it had at once."""

import threading
from contextlib import suppress
from types import TracebackType

import psutil

_SECONDS = 0.5


class Peak:
    """Watches from entry to exit."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mib: dict[str, int] = {}
        """`all`: of all processes, what several share counted once. `training`, `serving`: of the largest
        process of the kind, with what it shares."""

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
            together = 0
            for process in [self._root, *self._root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    taken = process.memory_full_info()
                    together += taken.pss
                    self._keep(_kind(process), taken.rss)
            self._keep("all", together)

    def _keep(self, kind: str, taken: int) -> None:
        if kind:
            self.mib[kind] = max(self.mib.get(kind, 0), taken // 2**20)


def _kind(process: psutil.Process) -> str:
    title = " ".join(process.cmdline())
    if title.startswith("ray::RayTrainWorker"):
        return "training"
    return "serving" if title.startswith("ray::ServeReplica:engine") else ""
