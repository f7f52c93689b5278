"""Temporary folders that are removed even if their process is killed, and checks of the space for them."""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cluster.contracts.errors import Unavailable

_GB = 1e9


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Creates an empty folder and removes it at the end. First removes the folders of processes that were
    killed before they could do so."""
    prefix = _prefix_after_sweep()
    # A file that is still being written when a failed run ends is left to a later process.
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        yield Path(name)


def require_space(folder: Path, needed: int, what: str, *, present: int = 0) -> None:
    """Raises Unavailable (`insufficient_scratch`) if the disk of `folder` has no room for `needed` bytes, of
    which `present` are already there. `what` they are for is part of the message."""
    free = shutil.disk_usage(folder).free
    if free + present < needed:
        raise Unavailable(
            f"Node {socket.gethostname()} has {free / _GB:.1f} GB free in {folder}, and needs "
            f"{(needed - present) / _GB:.1f} GB there for {what}. Free space on it, or set TMPDIR of Ray's "
            "nodes to a folder on a larger disk.",
            code="insufficient_scratch",
            retry_after_seconds=60.0,
        )


def folder_bytes(folder: Path) -> int:
    """Returns the total size of the files in the folder and its subfolders; 0 if it does not exist. Files may
    be renamed and removed meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total


def _prefix_after_sweep() -> str:
    """Returns the prefix of the names of this process's folders, after removing those of dead processes."""
    prefix = "tunery-training-"
    for stale in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        owner = stale.name.removeprefix(prefix).partition("-")[0]
        if owner.isdecimal() and not _is_alive(int(owner)):
            shutil.rmtree(stale, ignore_errors=True)
    return f"{prefix}{os.getpid()}-"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
