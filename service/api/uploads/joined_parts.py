"""Joins the parts of an upload into one object, and computes digests of every byte."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from cluster.contracts.errors import Conflict, NotFound
from cluster.storage.keys import part_key
from cluster.storage.store import ObjectInfo, ObjectStore
from service.db.files.upload_rows import Part

_CHUNK_BYTES = 1 << 20


class JoinedParts:
    """Joins parts. The digests of the result are known after `put` and `stored_content`."""

    def __init__(self, store: ObjectStore, parts: Sequence[Part], *, with_md5: bool) -> None:
        self._store = store
        self._parts = parts
        self._with_md5 = with_md5
        self._seen: _Digested | None = None

    def put(self, key: str) -> ObjectInfo:
        """Stores the parts, one after another, as one object: inside the store where that is possible.
        Raises Conflict if a part was deleted in the meantime."""
        sizes = {part_key(part.upload_id, part.id): part.bytes for part in self._parts if part.bytes}
        try:
            if self._store.join(key, sizes):
                return self._store.stat(key)
        except NotFound as error:
            raise Conflict(
                "A part is gone: its upload was cancelled or has expired.", code="upload_cancelled"
            ) from error
        self._seen = _Digested(_Concatenated(self._store, self._parts), with_md5=self._with_md5)
        with io.BufferedReader(self._seen, _CHUNK_BYTES) as content:
            return self._store.put_sized(key, content, sum(sizes.values()))

    @contextmanager
    def stored_content(self, key: str) -> Iterator[BinaryIO]:
        """The object's content, to be checked. If the parts were joined in the store, the content is read to
        its end here, because nobody has seen its bytes yet."""
        with self._store.open(key) as stream:
            if self._seen is not None:
                yield stream
                return
            self._seen = _Digested(stream, with_md5=self._with_md5)
            with io.BufferedReader(self._seen, _CHUNK_BYTES) as content:
                yield content
                while content.read(_CHUNK_BYTES):
                    pass

    def sha256(self) -> str:
        assert self._seen is not None, "the parts are read"
        return self._seen.sha256.hexdigest()

    def md5(self) -> str | None:
        """None without `with_md5`."""
        assert self._seen is not None, "the parts are read"
        return None if self._seen.md5 is None else self._seen.md5.hexdigest()


class _Digested(io.RawIOBase):
    """A stream that computes digests of what is read from it."""

    def __init__(self, source: BinaryIO | io.RawIOBase, *, with_md5: bool) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = int(self._source.readinto(buffer))  # type: ignore[union-attr]
        seen = memoryview(buffer)[:size]
        self.sha256.update(seen)
        if self.md5 is not None:
            self.md5.update(seen)
        return size

    def close(self) -> None:
        self._source.close()
        super().close()


class _Concatenated(io.RawIOBase):
    """The parts one after another. Only one is open at a time, and none is in memory as a whole."""

    def __init__(self, store: ObjectStore, parts: Sequence[Part]) -> None:
        self._readers = _opened(store, parts)
        self._reader: BinaryIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises Conflict if a part was deleted in the meantime."""
        while reader := self._reader or next(self._readers, None):
            self._reader = reader
            if size := reader.readinto(buffer):  # type: ignore[attr-defined]
                return int(size)
            reader.close()
            self._reader = None
        return 0

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        super().close()


def _opened(store: ObjectStore, parts: Sequence[Part]) -> Iterator[BinaryIO]:
    for part in parts:
        try:
            reader = store.open(part_key(part.upload_id, part.id))
        except NotFound as error:
            raise Conflict(
                f"Part {part.id} is gone: its upload was cancelled or has expired.", code="upload_cancelled"
            ) from error
        yield reader
