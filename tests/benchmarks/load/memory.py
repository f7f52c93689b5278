"""The resident memory of a running Tunery's processes over time, and whether it stays flat."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from tests.e2e.server import Tunery

LARGEST_GROWTH = 1.05
"""Of the last third's peak over that of the middle third; the first one is for warming up."""
SETTLED_SECONDS = 60.0
"""Shorter watches see caches and allocators fill, and nothing is made of their growth."""
_TITLES = {"ray::ServeReplica:engine:": "engine", "ray::ProxyActor": "proxy"}
_SECONDS = 0.5


@dataclass
class Memory:
    """By process: when, in seconds since the beginning, and MiB."""

    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    async def watch(self, processes: dict[str, psutil.Process]) -> None:
        """Samples until it is cancelled. A process that ends, ends the watch: psutil.NoSuchProcess."""
        began = time.monotonic()
        while True:
            for name, process in processes.items():
                taken = (time.monotonic() - began, process.memory_info().rss / 2**20)
                self.samples.setdefault(name, []).append(taken)
            await asyncio.sleep(_SECONDS)

    def peaks(self) -> dict[str, list[float]]:
        """By process, of each third of the time."""
        return {name: peaks_of_thirds(samples) for name, samples in self.samples.items()}

    def grown(self) -> list[str]:
        """The processes whose memory is not flat."""
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
    assert api is not None, "the API does not run"
    found = {"api": api}
    for process in tunery.descendants():
        with suppress(psutil.NoSuchProcess):
            for title, name in _TITLES.items():
                if " ".join(process.cmdline()).startswith(title):
                    found[name] = process
    assert len(found) == 3, f"found only {sorted(found)}"
    return found
