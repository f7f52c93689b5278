"""Disk space that is reserved for deletions.

Without it, nothing could be deleted on a full disk, because a deletion first writes a row.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SIZES = (4 << 20, 1 << 20, 256 << 10)
"""Numbers of bytes to try to reserve: the first for which there is room is used."""


class ReservedSpace:
    """A file at `path` that occupies the space, and is removed while something is deleted on a full disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def allocate(self) -> None:
        """Reserves the space unless it is reserved already. Does nothing if there is no room."""
        for size in _SIZES:
            with suppress(OSError):
                self._take(size)
                return

    @contextmanager
    def released(self) -> Iterator[None]:
        """Within the context, the space is free for use if the disk is full."""
        with suppress(OSError):
            if shutil.disk_usage(self._path.parent).free < _SIZES[0]:
                self._path.unlink(missing_ok=True)
        try:
            yield
        finally:
            self.allocate()

    def _take(self, size: int) -> None:
        if self._path.exists():
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
