"""A cache of folders on this machine's disk, limited by a budget. Folders are leased while they are read.

A lease is a shared flock on the folder itself, and eviction takes an exclusive one. Leases are therefore
respected by other processes with the same cache, and end with their process, even if it crashes. The file
system must be local."""

import errno
import fcntl
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.contracts.errors import InvalidConfiguration
from cluster.scratch import folder_bytes
from cluster.storage.files import as_domain_error

_LEFT_BEHIND_SECONDS = 3600
"""An unfinished folder of this age without a lease was left behind by a crash. A younger one may be about to
be leased."""


@dataclass(frozen=True, order=True)
class _Entry:
    used_at_ns: int
    """The folder's modification time."""
    name: str
    bytes: int


class DiskCache:
    """Folders by name in `root`. Names that start with a dot are internal. Thread-safe."""

    def __init__(self, root: Path, *, budget_bytes: int, max_entries: int) -> None:
        """Removes folders that crashes left behind."""
        self._root = root
        self._budget_bytes = budget_bytes
        self._max_entries = max_entries
        self._evicting = threading.Lock()
        self._sizes: dict[str, int] = {}
        """Sizes of the folders at the last scan. The content of a folder does not change."""
        self._remove_left_behind()

    @contextmanager
    def lease(self, name: str) -> Iterator[Path | None]:
        """Yields the folder, which stays until the end of the context; None if it does not exist."""
        folder = self._root / name
        with _locked(folder, fcntl.LOCK_SH) as is_there:
            if is_there:
                # A process that finds the folder corrupt discards it in spite of leases.
                with suppress(FileNotFoundError):
                    _mark_used(folder)
            yield folder if is_there else None

    @contextmanager
    def unfinished(self, name: str) -> Iterator[Path]:
        """Yields an empty folder to be filled and committed. It is removed at the end of the context unless
        it was committed. After the commit, the context is its lease. Raises Unavailable if the disk is full
        or fails."""
        folder = self._hidden(name)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise as_domain_error(error, folder) from error
        with _locked(folder, fcntl.LOCK_SH):
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def commit(self, unfinished: Path, name: str) -> Path | None:
        """Gives the folder its name atomically. Returns None if another process has committed one meanwhile.
        Raises Unavailable if the disk fails."""
        _mark_used(unfinished)
        try:
            return unfinished.rename(self._root / name)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return None
            raise as_domain_error(error, self._root / name) from error

    def discard(self, name: str) -> None:
        """Removes a folder, even if it is leased."""
        hidden = self._hidden(name)
        with suppress(FileNotFoundError):
            # Renamed first, so that no process sees a partial folder.
            (self._root / name).rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)

    def evict(self, *, for_bytes: int = 0, for_entries: int = 0) -> list[Path]:
        """Discards unleased folders, least recently used first, until the given bytes and entries fit. Leased
        folders stay, even beyond the budget. Returns the discarded folders."""
        evicted = []
        with self._evicting:
            entries = sorted(self._entries())
            self._sizes = {entry.name: entry.bytes for entry in entries}
            bytes_left = self._budget_bytes - for_bytes - sum(entry.bytes for entry in entries)
            entries_left = self._max_entries - for_entries - len(entries)
            for entry in entries:
                if bytes_left >= 0 and entries_left >= 0:
                    break
                with _locked(self._root / entry.name, fcntl.LOCK_EX | fcntl.LOCK_NB) as is_idle:
                    if is_idle:
                        self.discard(entry.name)
                        evicted.append(self._root / entry.name)
                        bytes_left += entry.bytes
                        entries_left += 1
        return evicted

    def _entries(self) -> Iterator[_Entry]:
        for found in _folders(self._root):
            # Another process may discard it meanwhile.
            with suppress(FileNotFoundError):
                if not found.name.startswith("."):
                    size = self._sizes.get(found.name) or folder_bytes(Path(found.path))
                    yield _Entry(found.stat().st_mtime_ns, found.name, size)

    def _hidden(self, name: str) -> Path:
        return self._root / f".{name}.{uuid.uuid4().hex}"

    def _remove_left_behind(self) -> None:
        for found in _folders(self._root):
            with suppress(FileNotFoundError):
                is_old = time.time() - found.stat().st_mtime > _LEFT_BEHIND_SECONDS
                if found.name.startswith(".") and is_old:
                    with _locked(Path(found.path), fcntl.LOCK_EX | fcntl.LOCK_NB) as is_idle:
                        if is_idle:
                            shutil.rmtree(found.path, ignore_errors=True)


def budget_from_environment(root: Path) -> int:
    """Reads TUNERY_CACHE_BYTES. The default is half of the disk space of `root` that is free or used by
    `root`. Raises InvalidConfiguration for anything but a positive number."""
    if value := os.environ.get("TUNERY_CACHE_BYTES"):
        if not value.isdecimal() or int(value) < 1:
            raise InvalidConfiguration(
                f"TUNERY_CACHE_BYTES is {value!r}; it must be a positive number.", param="TUNERY_CACHE_BYTES"
            )
        return int(value)
    disk = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    return (shutil.disk_usage(disk).free + folder_bytes(root)) // 2


def _folders(root: Path) -> Iterator[os.DirEntry[str]]:
    with suppress(FileNotFoundError), os.scandir(root) as found:
        yield from [entry for entry in found if entry.is_dir(follow_symlinks=False)]


def _mark_used(folder: Path) -> None:
    # An explicit time, because the file system's own clock ticks only every few milliseconds, which would
    # cause ties.
    now = time.time_ns()
    os.utime(folder, ns=(now, now))


@contextmanager
def _locked(folder: Path, operation: int) -> Iterator[bool]:
    """Locks the folder with flock's `operation` until the end of the context. Yields whether it exists and is
    locked."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        yield _lock(descriptor, operation) and _is_at(folder, descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    return True


def _is_at(folder: Path, descriptor: int) -> bool:
    """Whether the folder is still there. False if it was discarded between open and lock."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
