"""Folders that only their owner can access."""

import os
import stat
from contextlib import suppress
from pathlib import Path

UMASK = 0o077
"""The umask of every process of `tunery up`: files get mode 0600, folders 0700."""


def make_private_folder(folder: Path) -> None:
    """Creates the folder with mode 0700.

    If it exists and others can access it, removes their access to it and all that is in it. Does not touch
    what belongs to another user or the targets of links.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_open(folder.stat()):
        return
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            _close(Path(place) / name)
    # Last, so that an interrupted walk is repeated.
    _close(folder)


def _close(path: Path) -> None:
    with suppress(PermissionError, FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and _is_open(found):
            path.chmod(stat.S_IMODE(found.st_mode) & ~UMASK)


def _is_open(found: os.stat_result) -> bool:
    return bool(stat.S_IMODE(found.st_mode) & UMASK)
