"""Cached SHA-256 digests of files that rarely change."""

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

_State = tuple[int, int]
"""Size in bytes and modification time in ns."""


class Checksums:
    """Reads a file again only if its size or modification time has changed. Remembers the files of at most
    `capacity` folders. Thread-safe."""

    def __init__(self, *, capacity: int = 8192) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Path, dict[str, tuple[_State, str]]] = OrderedDict()
        """Digests by folder, least recently used first, and by file name."""
        self._lock = threading.Lock()

    def of(self, path: Path) -> str | None:
        """Returns the hex digest; None if the file cannot be read."""
        try:
            state = _state(path)
            with self._lock:
                known = self._known.get(path.parent, {}).get(path.name)
            if known is None or known[0] != state:
                with path.open("rb") as content:
                    known = state, hashlib.file_digest(content, "sha256").hexdigest()
        except OSError:
            return None
        self._remember(path, known)
        return known[1]

    def learn(self, path: Path, sha256: str) -> None:
        """Records the digest that the writer of the file computed."""
        self._remember(path, (_state(path), sha256))

    def forget(self, folder: Path) -> None:
        """Drops the digests of the folder's files."""
        with self._lock:
            self._known.pop(folder, None)

    def _remember(self, path: Path, known: tuple[_State, str]) -> None:
        with self._lock:
            self._known.setdefault(path.parent, {})[path.name] = known
            self._known.move_to_end(path.parent)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)


def _state(path: Path) -> _State:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
