"""The memory of this process's device: what is free for models, and giving back what they leave."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch


def free_bytes() -> int:
    """What the GPU has free now, or without one the machine, or the control group that limits this process to
    less."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return min([_free_in_machine(), *free_in_groups(Path("/sys/fs/cgroup"), _own_group())])


def total_bytes() -> int:
    """All that the GPU has, or without one the machine."""
    return int(torch.cuda.mem_get_info()[1]) if torch.cuda.is_available() else _total_in_machine()


def release_unused() -> None:
    """Returns to the system what models left. Holds up the process for some milliseconds after
    `freeze_loaded_objects`, and else for a quarter of a second.

    Without this glibc keeps most of it: of 130 MB of weights 105, and 140 where cycles of Python objects hold
    them.
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
    """What is here now, some 400,000 objects of libraries, stays: no later `release` looks at it."""
    gc.collect()
    gc.freeze()


def free_in_groups(root: Path, own: str) -> Iterator[int]:
    """What the limits of control groups leave, where there are any: in version 2 those of the group `own` and
    the groups around it, in version 1 that of the container. Pages of files that nobody holds count as
    free."""
    group = root / own
    for folder in [group, *group.parents][: len(Path(own).parts) + 1]:
        yield from _left(folder, "memory.max", "memory.current", "inactive_file")
    yield from _left(root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _own_group() -> str:
    """Of version 2, without the slash in front."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                return line.removeprefix("0::/")
    return ""


def _left(folder: Path, limit: str, used: str, inactive: str) -> Iterator[int]:
    # ValueError: "max", which is no limit.
    with suppress(OSError, ValueError):
        free = int((folder / limit).read_text()) - int((folder / used).read_text())
        yield free + _stat(folder / "memory.stat", inactive)


def _stat(path: Path, wanted: str) -> int:
    pairs = (line.split() for line in path.read_text().splitlines())
    return next((int(value) for name, value in pairs if name == wanted), 0)
