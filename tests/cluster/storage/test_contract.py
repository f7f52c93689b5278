"""The promises of every store, tested on a folder, on moto and on a real S3 server."""

import contextlib
import hashlib
import io
import random
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.contracts.errors import InvalidRequest, NotFound, Unavailable
from cluster.storage.store import ObjectStore

MIB = 1 << 20


class Stream(io.RawIOBase):
    """A source of `size` bytes that are never in memory at once, read in pieces of odd sizes. Calls
    `at[position]` on the way, which may raise."""

    def __init__(self, size: int, at: dict[int, object] | None = None) -> None:
        self._size, self._at, self._position = size, at or {}, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        n = min(len(buffer), 300_007, self._size - self._position)
        buffer[:n] = bytes([self._position % 251]) * n
        for position in [p for p in self._at if p <= self._position]:
            self._at.pop(position)()
        self._position += n
        return n


def test_put_object_is_read_back_whole(store: ObjectStore) -> None:
    content = bytes(range(256)) * 5
    before = time.time()
    info = store.put("files/file-1", content)
    assert (info.key, info.bytes, info.sha256) == ("files/file-1", 1280, hashlib.sha256(content).hexdigest())
    assert abs(info.modified_at - before) < 60
    assert store.get("files/file-1") == content
    assert store.stat("files/file-1").bytes == 1280


def test_open_streams_in_pieces_of_the_requested_size(store: ObjectStore) -> None:
    store.put("a", b"one\ntwo\nthree")
    with store.open("a") as reader:
        assert reader.read(2) == b"on"
        assert reader.readline() == b"e\n"
        assert reader.read() == b"two\nthree"
        assert reader.read() == b""


def test_open_begins_at_any_byte(store: ObjectStore) -> None:
    content = bytes(range(256)) * 5
    store.put("a", content)
    for start in (0, 1, 700, len(content) - 1):
        with store.open("a", start=start) as reader:
            assert reader.read() == content[start:]


def test_zero_bytes_are_an_object(store: ObjectStore) -> None:
    assert store.put("empty", b"").bytes == 0
    assert store.put("empty-stream", io.BytesIO()).sha256 == hashlib.sha256(b"").hexdigest()
    assert store.get("empty") == b""
    assert [info.key for info in store.list()] == ["empty", "empty-stream"]


def test_second_put_replaces_the_first(store: ObjectStore) -> None:
    store.put("a/b", b"a longer first")
    store.put("a/b", b"second")
    assert store.get("a/b") == b"second"
    assert [info.bytes for info in store.list("a/")] == [6]


@pytest.mark.parametrize("size", [8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB])
def test_sizes_around_a_part_are_stored_exactly(store: ObjectStore, size: int, tmp_path: Path) -> None:
    info = store.put("a", Stream(size))
    read = store.download("a", tmp_path / "copy")
    assert info.bytes == read.bytes == size
    assert info.sha256 == read.sha256


def test_memory_does_not_grow_with_the_object(store: ObjectStore, tmp_path: Path) -> None:
    size = 96 * MIB
    store.put("warm-up", b"clients and connections are made")
    tracemalloc.start()
    try:
        written = store.put("big", Stream(size))
        read = store.download("big", tmp_path / "big")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written.sha256 == read.sha256
    assert written.bytes == read.bytes == size
    assert peak < 40 * MIB
    store.delete("big")


@pytest.mark.parametrize("size", [0, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 40 * MIB])
def test_files_of_any_size_are_the_same_after_upload_and_download(
    store: ObjectStore, size: int, tmp_path: Path
) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(random.Random(size).randbytes(size))
    store.put("warm-up", b"clients and connections are made")
    moved: list[int] = []
    tracemalloc.start()
    try:
        written = store.upload("a", source, on_progress=lambda: moved.append(1))
        read = store.download("a", copy, on_progress=lambda: moved.append(1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (written.bytes, written.sha256) == (read.bytes, read.sha256)
    assert copy.read_bytes() == source.read_bytes()
    assert peak < 30 * MIB
    assert len(moved) >= 2 * (size // MIB)


def test_absent_objects_are_not_found(store: ObjectStore, tmp_path: Path) -> None:
    store.put("files/there", b"1")
    for read in (store.get, store.open, store.stat, lambda key: store.download(key, tmp_path / "copy")):
        for key in ("files/absent", "absent/there", "files"):
            with pytest.raises(NotFound):
                read(key)
    assert not (tmp_path / "copy").exists()


def test_list_gives_the_keys_of_a_prefix_in_order(store: ObjectStore) -> None:
    keys = ["a-b/x", "a/b/1", "a/b/2", "a/c", "a0", "ab", "b"]
    for key in reversed(keys):
        store.put(key, key.encode())
    assert [(info.key, info.bytes) for info in store.list()] == [(key, len(key)) for key in keys]
    assert [info.key for info in store.list("a/")] == ["a/b/1", "a/b/2", "a/c"]
    assert [info.key for info in store.list("a/b")] == ["a/b/1", "a/b/2"]
    assert [info.key for info in store.list("a")] == keys[:6]
    assert list(store.list("absent/")) == []


def test_delete_is_idempotent(store: ObjectStore) -> None:
    store.put("a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    store.delete("never/there")
    with pytest.raises(NotFound):
        store.stat("a/b")
    assert list(store.list()) == []


@pytest.mark.parametrize(
    "opened_store",
    [
        "folder",
        pytest.param("moto", marks=pytest.mark.slow),
        pytest.param("rclone", marks=pytest.mark.thorough),
    ],
    indirect=True,
)
def test_delete_many_removes_only_these_keys_even_while_they_are_listed(
    store: ObjectStore,
) -> None:
    keys = [f"jobs/{number:04d}/file" for number in range(1205)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: store.put(key, b"1"), [*keys, "jobs-x/file"]))
    seen = []
    for info in store.list("jobs/"):
        seen.append(info.key)
        if len(seen) % 400 == 0:
            store.delete_many([*seen[-400:], "jobs/never-there"])
    assert seen == keys
    assert [info.key for info in store.list()] == ["jobs-x/file", *keys[1200:]]
    store.delete_many([*keys, "jobs/never-there"])
    assert [info.key for info in store.list()] == ["jobs-x/file"]
    store.delete_many([])


def test_what_a_killed_writer_stored_is_found_and_freed(store: ObjectStore) -> None:
    """Needs a server that lists unfinished parts."""
    store.put("b", b"whole")
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    try:
        assert writer.stdout.readline() == b"half way\n"
    finally:
        writer.kill()
        writer.communicate()
    (left,) = store.unfinished()
    assert left.key == "a"
    assert left.bytes >= 8 * MIB
    assert abs(left.changed_at - time.time()) < 60
    assert list(store.unfinished("b")) == []
    store.abort(left)
    store.abort(left)
    assert list(store.unfinished()) == []
    assert [info.key for info in store.list()] == ["b"]


def test_a_put_that_is_aborted_while_it_runs_is_unavailable_and_leaves_nothing(store: ObjectStore) -> None:
    def abort() -> None:
        for put in store.unfinished():
            store.abort(put)

    with pytest.raises(Unavailable):
        store.put("a", Stream(20 * MIB, at={17 * MIB: abort}))
    assert list(store.list()) == []
    assert list(store.unfinished()) == []


def test_files_are_uploaded_and_downloaded(store: ObjectStore, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    source.write_bytes(b"weights" * 1000)
    up = store.upload("jobs/1/adapter", source)
    down = store.download("jobs/1/adapter", target)
    assert up.sha256 == down.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert target.read_bytes() == source.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["target"]


BAD_KEYS = [
    "",
    "/etc/passwd",
    "a//b",
    "a/",
    "../a",
    "a/../b",
    "a/.",
    "a\\b",
    "a\0b",
    "a b",
    "é",
    "a~1",
    "x" * 201,
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_keys_that_could_leave_the_store_are_refused(store: ObjectStore, key: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"1")
    calls = [
        lambda: store.put(key, b"1"),
        lambda: store.get(key),
        lambda: store.open(key),
        lambda: store.stat(key),
        lambda: store.delete(key),
        lambda: store.upload(key, source),
        lambda: store.download(key, tmp_path / "target"),
    ]
    for call in calls:
        with pytest.raises(InvalidRequest):
            call()


@pytest.mark.parametrize("prefix", ["/", "..", "../", "a/../", "a//", "*", "a\0"])
def test_prefixes_that_could_leave_the_store_are_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(InvalidRequest):
        list(store.list(prefix))


def test_object_is_invisible_until_it_is_whole(store: ObjectStore) -> None:
    seen = []

    def look() -> None:
        seen.append([info.key for info in store.list()])

    store.put("a", Stream(20 * MIB, at={9 * MIB: look, 19 * MIB: look}))
    assert seen == [[], []]
    assert [info.key for info in store.list()] == ["a"]


def test_an_interrupted_upload_leaves_the_key_as_it_was(store: ObjectStore) -> None:
    def cut() -> None:
        raise ConnectionResetError("the client went away")

    store.put("old", b"old")
    offsets = random.Random(7)
    for attempt in range(50):
        with pytest.raises(ConnectionResetError):
            store.put(
                "old" if attempt % 2 else "new", Stream(10 * MIB, at={offsets.randrange(10 * MIB): cut})
            )
    assert [info.key for info in store.list()] == ["old"]
    assert store.get("old") == b"old"


def test_writer_killed_half_way_leaves_nothing_visible(store: ObjectStore) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    try:
        assert writer.stdout.readline() == b"half way\n"
        assert list(store.list()) == []
    finally:
        writer.kill()
        writer.communicate()
    assert list(store.list()) == []
    store.put("a", b"the next writer")
    assert store.get("a") == b"the next writer"


_WRITER = """
import io, sys
from cluster.storage.location import store_from_environment
class Source(io.RawIOBase):
    sent = 0
    def read(self, n=-1):
        if self.sent > 9 << 20:
            print("half way", flush=True)
            sys.stdin.read()
        self.sent += 1 << 20
        return b"x" * (1 << 20)
store_from_environment().put("a", Source())
"""


def test_concurrent_puts_of_one_key_leave_one_of_them_whole(store: ObjectStore) -> None:
    contents = [bytes([i]) * (200_000 + i) for i in range(12)]
    with ThreadPoolExecutor(6) as threads:
        infos = list(threads.map(lambda content: store.put("same", content), contents[:6]))
        list(threads.map(lambda content: store.put(f"own/{content[0]}", content), contents))
    assert store.get("same") in contents[:6]
    assert len({info.sha256 for info in infos}) == 6
    assert {store.get(f"own/{i}") for i in range(12)} == set(contents)


def test_objects_are_joined_in_the_store_or_left_alone(store: ObjectStore) -> None:
    contents = {"parts/1": b"a" * (5 * MIB), "parts/2": b"b" * (5 * MIB + 7), "parts/3": b"c"}
    for key, content in contents.items():
        store.put(key, content)
    sizes = {key: len(content) for key, content in contents.items()}
    if store.join("whole", sizes):
        assert store.get("whole") == b"".join(contents.values())
    else:
        assert [info.key for info in store.list()] == list(contents)
    assert not store.join("short", {"parts/3": 1, "parts/1": 5 * MIB})
    assert list(store.unfinished("whole")) + list(store.unfinished("short")) == []


def test_an_absent_source_leaves_nothing_of_what_was_joined(store: ObjectStore) -> None:
    store.put("parts/1", b"a" * (5 * MIB))
    sizes = {"parts/1": 5 * MIB, "parts/2": 1}
    with contextlib.suppress(NotFound):
        assert not store.join("whole", sizes)
    assert [info.key for info in store.list()] == ["parts/1"]
    assert list(store.unfinished("whole")) == []
