"""A store that retries calls that fail because the underlying store does not answer."""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

from cluster.contracts.errors import STORAGE_UNAVAILABLE, InsufficientStorage, Unavailable
from cluster.storage.files import unobserved
from cluster.storage.store import ObjectInfo, ObjectStore, UnfinishedPut

Answer = TypeVar("Answer")

TRAINING_SECONDS = 600.0
"""How long training waits: longer than a store takes to restart, and shorter than the lost work would take to
recompute."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 20.0
_BEAT_SECONDS = 1.0
"""Interval between two calls of `on_wait`."""

logger = logging.getLogger(__name__)


class RetryingStore(ObjectStore):
    """Wraps `store`. A call that raises Unavailable because the store does not answer is repeated as a whole,
    after growing pauses, until `seconds` have passed since its first failure. Meanwhile, `on_wait` is called
    about every second from the waiting thread.

    A full store and a broken disk of this machine raise at once. So do calls that cannot be repeated: `list`,
    `unfinished`, reading from an open object, and a `put` from a source that cannot seek."""

    def __init__(
        self,
        store: ObjectStore,
        seconds: float,
        on_wait: Callable[[], None] = unobserved,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store, self._seconds, self._on_wait = store, seconds, on_wait
        self._clock, self._sleep = clock, sleep
        self.encryption_key = store.encryption_key

    def encrypted_with(self, key: str | None) -> Self:
        bound = self._store.encrypted_with(key)
        return type(self)(bound, self._seconds, self._on_wait, clock=self._clock, sleep=self._sleep)

    def encryption_key_of(self, key: str) -> str | None:
        return self._repeated(lambda: self._store.encryption_key_of(key))

    def reencrypt(self, key: str) -> None:
        self._repeated(lambda: self._store.reencrypt(key))

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        if isinstance(source, bytes):
            return self._repeated(lambda: self._store.put(key, source))
        return self._put_again(source, lambda: self._store.put(key, source))

    def put_sized(self, key: str, source: BinaryIO, size: int) -> ObjectInfo:
        return self._put_again(source, lambda: self._store.put_sized(key, source, size))

    def get(self, key: str) -> bytes:
        return self._repeated(lambda: self._store.get(key))

    def open(self, key: str, *, start: int = 0) -> BinaryIO:
        return self._repeated(lambda: self._store.open(key, start=start))

    def stat(self, key: str) -> ObjectInfo:
        return self._repeated(lambda: self._store.stat(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix)

    def delete(self, key: str) -> None:
        self._repeated(lambda: self._store.delete(key))

    def delete_many(self, keys: Sequence[str]) -> None:
        self._repeated(lambda: self._store.delete_many(keys))

    def join(self, key: str, sources: Mapping[str, int]) -> bool:
        return self._repeated(lambda: self._store.join(key, sources))

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedPut]:
        return self._store.unfinished(prefix)

    def abort(self, put: UnfinishedPut) -> None:
        self._repeated(lambda: self._store.abort(put))

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        return self._repeated(lambda: self._store.upload(key, path, on_progress=on_progress))

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        return self._repeated(lambda: self._store.download(key, path, on_progress=on_progress))

    def _put_again(self, source: BinaryIO, put: Callable[[], ObjectInfo]) -> ObjectInfo:
        if not source.seekable():
            return put()
        start = source.tell()

        def put_anew() -> ObjectInfo:
            source.seek(start)
            return put()

        return self._repeated(put_anew)

    def _repeated(self, act: Callable[[], Answer]) -> Answer:
        first_failure, pause = None, _FIRST_PAUSE_SECONDS
        while True:
            try:
                return act()
            except Unavailable as error:
                now = self._clock()
                first_failure = now if first_failure is None else first_failure
                left = first_failure + self._seconds - now
                if left <= 0 or error.code != STORAGE_UNAVAILABLE or isinstance(error, InsufficientStorage):
                    raise
                logger.warning("%s Trying again for %.0f seconds.", error.message, left)
            self._wait(min(left, pause * random.uniform(0.5, 1)))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _wait(self, seconds: float) -> None:
        end = self._clock() + seconds
        self._on_wait()
        while (left := end - self._clock()) > 0:
            self._sleep(min(left, _BEAT_SECONDS))
            self._on_wait()
