"""Watches the resident memory of a running Tunery's processes and tells whether it stays flat."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from tests.e2e.server import Tunery

LARGEST_GROWTH = 1.05
"""Largest ratio of the last third's peak to the middle third's. The first third is for warming up."""
SETTLED_SECONDS = 60.0
"""Growth is ignored in shorter runs, in which caches and allocators still fill."""
_TITLES = {"ray::ServeReplica:engine:": "engine", "ray::ProxyActor": "proxy"}
_SECONDS = 0.5


@dataclass
class Memory:
    """Samples by process: (seconds since the start, MiB)."""

    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    async def watch(self, processes: dict[str, psutil.Process]) -> None:
        """Samples until it is cancelled. Raises psutil.NoSuchProcess if a process exits."""
        began = time.monotonic()
        while True:
            for name, process in processes.items():
                sample = (time.monotonic() - began, process.memory_info().rss / 2**20)
                self.samples.setdefault(name, []).append(sample)
            await asyncio.sleep(_SECONDS)

    def peaks(self) -> dict[str, list[float]]:
        """MiB by process, in each third of the time."""
        return {name: peaks_of_thirds(samples) for name, samples in self.samples.items()}

    def grown(self) -> list[str]:
        """Names of the processes whose memory is not flat."""
        return [
            name
            for name, samples in self.samples.items()
            if samples[-1][0] >= SETTLED_SECONDS and not is_flat(peaks_of_thirds(samples))
        ]


def is_flat(peaks: list[float]) -> bool:
    _, middle, last = peaks
    return last <= LARGEST_GROWTH * middle


def peaks_of_thirds(samples: list[tuple[float, float]]) -> list[float]:
    third = samples[-1][0] / 3
    thirds: list[list[float]] = [[], [], []]
    for when, mib in samples:
        thirds[min(2, int(when / third))].append(mib)
    return [max(values) for values in thirds]


def processes_of(tunery: Tunery) -> dict[str, psutil.Process]:
    """The API, the engine's replica and Serve's proxy."""
    api = tunery.find("service.api")
    assert api is not None, "the API is not running"
    processes = {"api": api}
    for process in tunery.descendants():
        with suppress(psutil.NoSuchProcess):
            for title, name in _TITLES.items():
                if " ".join(process.cmdline()).startswith(title):
                    processes[name] = process
    assert len(processes) == 3, f"found only {sorted(processes)}"
    return processes
