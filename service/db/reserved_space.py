"""Space that is kept for deleting: on a full disk a file's tombstone could not be written either, and so
nothing could be deleted any more."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SIZES = (4 << 20, 1 << 20, 256 << 10)
"""Bytes; the largest for which there is room."""


class ReservedSpace:
    """The file `path`, which is given up while something is being deleted on a full disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def allocate(self) -> None:
        """Takes the space, if it is not taken and there is any."""
        for size in _SIZES:
            with suppress(OSError):
                self._take(size)
                return

    @contextmanager
    def released(self) -> Iterator[None]:
        """Within it, the space is free for use if there is no other."""
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
