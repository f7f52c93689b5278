"""Temporary folders that are removed even if their process is killed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "tunery-training-"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Creates an empty folder and removes it at the end. Before that, removes the folders of processes that
    were killed before they could do so."""
    root = Path(tempfile.gettempdir())
    for stale in root.glob(f"{_PREFIX}*"):
        owner = stale.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not _is_alive(int(owner)):
            shutil.rmtree(stale, ignore_errors=True)
    # A file that is still written when a failed run ends is left to a later process.
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
