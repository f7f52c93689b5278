"""Folders and files that only their owner can access."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UMASK = 0o077
"""The umask of every process of `tunery up`: files get mode 0600, folders 0700."""


@contextmanager
def private_files() -> Iterator[None]:
    """Files and folders that this process creates within the context are accessible only to its user."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def make_private_folder(folder: Path) -> None:
    """Creates the folder with mode 0700.

    If it exists and others can access it, removes their access to it and everything in it. Does not touch
    files of other users or the targets of links.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_open(folder.stat()):
        return
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            _close(Path(place) / name)
    # Done last, so that an interrupted walk is repeated.
    _close(folder)


def write_private_file(path: Path, value: str) -> None:
    """Writes a line. Atomic; the file is readable only by its owner from the first byte on."""
    partial = path.with_suffix(path.suffix + ".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def _close(path: Path) -> None:
    with suppress(PermissionError, FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and _is_open(found):
            path.chmod(stat.S_IMODE(found.st_mode) & ~UMASK)


def _is_open(found: os.stat_result) -> bool:
    return bool(stat.S_IMODE(found.st_mode) & UMASK)
