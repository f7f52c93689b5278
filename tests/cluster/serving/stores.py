"""Stores whose downloads a test can observe and block."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from cluster.contracts.errors import NotFound
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo, unobserved


class GatedStore(LocalStore):
    """Blocks downloads of keys that contain `slow` until the gate opens, and records all downloads."""

    def __init__(self, root: Path, *, slow: str = "") -> None:
        super().__init__(root)
        self._slow = slow
        self.gate = threading.Event()
        self.is_held_up = threading.Event()
        self.downloads: list[str] = []

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self.downloads.append(key)
        if self._slow in key:
            self.is_held_up.set()
            assert self.gate.wait(300)
        return super().download(key, path, on_progress=on_progress)


class MeetingStore(LocalStore):
    """Blocks downloads until `parties` of them are running."""

    def __init__(self, root: Path, parties: int) -> None:
        super().__init__(root)
        self._barrier = threading.Barrier(parties, timeout=300)

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self._barrier.wait()
        return super().download(key, path, on_progress=on_progress)


class MemoryStore:
    """An ObjectStore in memory."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        self._objects[key] = source if isinstance(source, bytes) else source.read()
        return self._info(key)

    def get(self, key: str) -> bytes:
        if key not in self._objects:
            raise NotFound(f"No object {key!r} in storage.")
        return self._objects[key]

    def open(self, key: str, *, start: int = 0) -> BinaryIO:
        return io.BytesIO(self.get(key)[start:])

    def stat(self, key: str) -> ObjectInfo:
        return self._info(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (self._info(key) for key in sorted(self._objects) if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self._objects.pop(key, None)

    def upload(self, key: str, path: Path) -> ObjectInfo:
        return self.put(key, path.read_bytes())

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        path.write_bytes(self.get(key))
        return self._info(key)

    def _info(self, key: str) -> ObjectInfo:
        content = self.get(key)
        return ObjectInfo(key, len(content), hashlib.sha256(content).hexdigest(), 0.0)
