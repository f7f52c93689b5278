"""Reads the parts of an upload as one stream."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from cluster.contracts.errors import Conflict, NotFound
from cluster.storage.keys import part_key
from cluster.storage.store import ObjectStore
from service.db.files.upload_rows import Part


class JoinedParts(io.RawIOBase):
    """The parts one after another. One is open at a time, and none is in memory whole."""

    def __init__(self, store: ObjectStore, parts: Sequence[Part], *, with_md5: bool) -> None:
        self._readers = _opened(store, parts)
        self._reader: BinaryIO | None = None
        self._md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises Conflict if a part was deleted in the meantime."""
        while reader := self._reader or next(self._readers, None):
            self._reader = reader
            if size := reader.readinto(buffer):  # type: ignore[attr-defined]
                if self._md5 is not None:
                    self._md5.update(memoryview(buffer)[:size])
                return int(size)
            reader.close()
            self._reader = None
        return 0

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        super().close()

    def md5(self) -> str | None:
        """Hex digest of what was read. None without `with_md5`."""
        return None if self._md5 is None else self._md5.hexdigest()


def _opened(store: ObjectStore, parts: Sequence[Part]) -> Iterator[BinaryIO]:
    for part in parts:
        try:
            reader = store.open(part_key(part.upload_id, part.id))
        except NotFound as error:
            raise Conflict(
                f"Part {part.id} is gone: its upload was cancelled or has expired.", code="upload_cancelled"
            ) from error
        yield reader
