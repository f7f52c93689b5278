import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from cluster.contracts.errors import InvalidRequest, NotFound
from cluster.storage.local import LocalStore


def test_links_are_never_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "objects"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store = LocalStore(root)
    store.put("files/own", b"own")
    (root / "files" / "link").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    for read in (store.get, store.open, store.stat):
        with pytest.raises(NotFound):
            read("files/link")
        with pytest.raises(InvalidRequest, match="leads out of the store"):
            read("folder/secret")
    with pytest.raises(InvalidRequest):
        store.put("folder/new", b"1")
    with pytest.raises(InvalidRequest):
        store.delete("folder/secret")
    assert [info.key for info in store.list()] == ["files/own"]
    store.put("files/link", b"replaced")
    assert (outside / "secret").read_bytes() == b"secret"
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_root_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "objects").symlink_to(tmp_path / "disk")
    store = LocalStore(tmp_path / "objects")
    store.put("files/a", b"1")
    assert store.get("files/a") == b"1"
    assert [info.key for info in store.list()] == ["files/a"]


def test_failing_disk_gives_a_readable_error_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on file sizes stands in for a full disk."""
    code = f"""
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from cluster.contracts.errors import Unavailable
from cluster.storage.local import LocalStore
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
store = LocalStore(Path({str(tmp_path)!r}))
store.put("old", b"old")
for key in ("old", "new"):
    try:
        store.put(key, b"x" * (4 << 20))
    except Unavailable as error:
        print(error)
assert store.get("old") == b"old"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"Cannot access {key}: File too large." for key in ("old", "new")]
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_object_and_folder_of_one_name_are_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a/b", b"1")
    with pytest.raises(InvalidRequest, match="beginning of other keys"):
        store.put("a", b"1")
    store.delete("a")
    assert store.get("a/b") == b"1"


def test_unfinished_files_of_a_killed_writer_are_not_objects(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a", b"1")
    (tmp_path / "a~0123456789abcdef").write_bytes(b"half")
    assert [info.key for info in store.list()] == ["a"]


def test_folders_are_removed_with_their_last_file_without_disturbing_writers(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "objects")
    store.put("jobs/1/kept", b"kept")

    def write_and_delete(name: str) -> None:
        for _ in range(200):
            key = f"jobs/2/a/b/{name}"
            store.put(key, b"1")
            store.delete(key)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write_and_delete, "abcd"))
    assert [path.name for path in (tmp_path / "objects" / "jobs").iterdir()] == ["1"]


def test_writers_outlive_a_thread_that_removes_their_folders_all_the_time(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    written = Event()

    def remove_folders() -> None:
        while not written.is_set():
            store.delete("a/b/absent")

    def write_and_delete(name: str) -> None:
        for _ in range(500):
            store.put(f"a/b/{name}", b"1")
            store.delete(f"a/b/{name}")

    with ThreadPoolExecutor(4) as threads:
        removing = threads.submit(remove_folders)
        try:
            list(threads.map(write_and_delete, "abc"))
        finally:
            written.set()
        removing.result()
