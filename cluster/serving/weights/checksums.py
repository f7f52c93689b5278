"""SHA-256 of files that seldom change."""

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

_State = tuple[int, int]
"""Size in bytes, and the time of change in ns."""


class Checksums:
    """Reads a file again only if its size or its time of change is another than before. Remembers the files
    of at most `capacity` folders. Used from any thread."""

    def __init__(self, *, capacity: int = 8192) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Path, dict[str, tuple[_State, str]]] = OrderedDict()
        """By folder, the least recently asked for first, and the file's name."""
        self._lock = threading.Lock()

    def of(self, path: Path) -> str | None:
        """Hex digest; None if the file cannot be read."""
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
        """Takes the word of who wrote the file."""
        self._remember(path, (_state(path), sha256))

    def forget(self, folder: Path) -> None:
        """Drops what is known of the folder's files."""
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
