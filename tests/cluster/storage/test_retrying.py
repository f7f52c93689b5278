"""A store that stops answering for a while."""

import io
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from cluster.contracts.errors import STORAGE_REFUSED, InsufficientStorage, NotFound, Unavailable
from cluster.storage.files import store_unavailable, unobserved
from cluster.storage.local import LocalStore
from cluster.storage.retrying import RetryingStore
from cluster.storage.store import ObjectInfo


class Away(LocalStore):
    """Answers nothing until `now` is `back_at`."""

    def __init__(self, folder: Path, back_at: float) -> None:
        super().__init__(folder)
        self.now, self._back_at, self.asked_at = 0.0, back_at, list[float]()
        self.error: Exception = store_unavailable("Storage does not answer.")

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        if self.now < self._back_at and not isinstance(source, bytes):
            source.read(2)
        self._answer()
        return super().put(key, source)

    def get(self, key: str) -> bytes:
        self._answer()
        return super().get(key)

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self._answer()
        return super().upload(key, path, on_progress=on_progress)

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self._answer()
        return super().download(key, path, on_progress=on_progress)

    def _answer(self) -> None:
        self.asked_at.append(self.now)
        if self.now < self._back_at:
            raise self.error


def retrying(away: Away, seconds: float, on_wait: Callable[[], None] = unobserved) -> RetryingStore:
    return RetryingStore(away, seconds, on_wait, clock=lambda: away.now, sleep=away.sleep)


def test_files_are_sent_and_fetched_once_the_store_is_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    beats: list[float] = []
    away = Away(tmp_path / "store", back_at=100)
    store = retrying(away, 600, lambda: beats.append(away.now))
    assert store.upload("a", source).bytes == 7
    assert len(away.asked_at) < 20
    assert max(later - earlier for earlier, later in itertools.pairwise(beats)) < 1.1
    away._back_at = away.now + 100
    store.download("a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"weights"
    away._back_at = away.now + 100
    assert store.get("a") == b"weights"


def test_a_put_is_repeated_from_where_its_source_began(tmp_path: Path) -> None:
    source = io.BytesIO(b"not this, this")
    source.seek(10)
    store = retrying(Away(tmp_path, back_at=3), 60)
    store.put("a", source)
    assert store.get("a") == b"this"


def test_the_caller_chooses_how_long_to_wait(tmp_path: Path) -> None:
    away = Away(tmp_path, back_at=1000)
    with pytest.raises(Unavailable, match=re.escape("Storage does not answer.")):
        retrying(away, 60).get("a")
    assert away.asked_at[-1] == away.now == 60


def test_no_later_answer_of_another_kind_is_waited_for(tmp_path: Path) -> None:
    away = Away(tmp_path, back_at=1000)
    for error in (
        InsufficientStorage(),
        Unavailable("This node's disk is broken."),
        Unavailable("Storage refuses GetObject of 'a': AccessDenied.", code=STORAGE_REFUSED),
        NotFound("No such key."),
    ):
        away.error = error
        with pytest.raises(type(error)):
            retrying(away, 60).get("a")
    assert away.now == 0


def test_the_key_that_objects_are_encrypted_with_stays_known(tmp_path: Path) -> None:
    store = retrying(Away(tmp_path, back_at=0), 60)
    assert store.encrypted_with(None).encryption_key is None
