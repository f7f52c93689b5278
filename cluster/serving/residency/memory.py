"""The memory of this process's device: how much is free, and how freed memory returns to the system."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch


def free_bytes() -> int:
    """Returns the free memory of the GPU; without a GPU, of the machine or of the control group that limits
    this process."""
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else free_host_bytes()


def free_host_bytes() -> int:
    """Returns the free memory of the machine or of the control group that limits this process."""
    return min([_free_in_machine(), *free_in_groups(Path("/sys/fs/cgroup"), _own_group())])


def total_bytes() -> int:
    """Returns all memory of the GPU, or of the machine if there is no GPU."""
    return int(torch.cuda.mem_get_info()[1]) if torch.cuda.is_available() else _total_in_machine()


def release_unused() -> None:
    """Returns the memory of unloaded models to the system. Blocks the process for some milliseconds after
    `freeze_loaded_objects`, otherwise for a quarter of a second.

    Without this, glibc keeps most of it: 105 MB of 130 MB of weights, and 140 MB if cycles of Python objects
    refer to them.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _free_in_machine() -> int:
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    return _total_in_machine()


def _total_in_machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def freeze_loaded_objects() -> None:
    """Excludes all objects that exist now, some 400,000 of them from libraries, from garbage collection, so
    that `release_unused` does not traverse them."""
    gc.collect()
    gc.freeze()


def free_in_groups(root: Path, own: str) -> Iterator[int]:
    """Yields the free memory under each control group's limit: in version 2 those of the group `own` and its
    ancestors, in version 1 that of the container. Inactive file pages count as free."""
    group = root / own
    for folder in [group, *group.parents][: len(Path(own).parts) + 1]:
        yield from _left(folder, "memory.max", "memory.current", "inactive_file")
    yield from _left(root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _own_group() -> str:
    """Returns the path of this process's group in version 2, without the leading slash."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                return line.removeprefix("0::/")
    return ""


def _left(folder: Path, limit: str, used: str, inactive: str) -> Iterator[int]:
    # ValueError: "max" means no limit.
    with suppress(OSError, ValueError):
        free = int((folder / limit).read_text()) - int((folder / used).read_text())
        yield free + _stat(folder / "memory.stat", inactive)


def _stat(path: Path, wanted: str) -> int:
    pairs = (line.split() for line in path.read_text().splitlines())
    return next((int(value) for name, value in pairs if name == wanted), 0)
