"""Folders that nobody but their owner can look into."""

import os
import stat
from contextlib import suppress
from pathlib import Path

UMASK = 0o077
"""Of every process of an installation on one machine: files 0600, folders 0700."""


def make_private_folder(folder: Path) -> None:
    """Makes the folder with mode 0700. One that is there already and was open to others is closed to them,
    with all that is in it.

    Leaves alone what belongs to another user, and where links lead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_open(folder.stat()):
        return
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            _close(Path(place) / name)
    # Last: a walk that was cut off is done again.
    _close(folder)


def _close(path: Path) -> None:
    with suppress(PermissionError, FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and _is_open(found):
            path.chmod(stat.S_IMODE(found.st_mode) & ~UMASK)


def _is_open(found: os.stat_result) -> bool:
    return bool(stat.S_IMODE(found.st_mode) & UMASK)
