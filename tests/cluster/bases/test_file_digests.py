import hashlib
import json
import os
from pathlib import Path

import pytest

from cluster.bases.file_digests import KEPT, changed_files, file_digests


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


LARGE = b"x" * (64 << 20)
CONTENTS = {"a": LARGE, "b": LARGE + b"y", "c": b"tiny"}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in CONTENTS]


def test_digests_of_large_files_are_kept_beside_them_and_used_by_the_next_process(files: list[Path]) -> None:
    expected = [sha256(content) for content in CONTENTS.values()]
    assert file_digests(files) == expected
    kept = json.loads((files[0].parent / KEPT).read_text())
    assert kept.keys() == {"a", "b"}

    kept["a"][2] = "0" * 64
    (files[0].parent / KEPT).write_text(json.dumps(kept))
    assert file_digests(files) == ["0" * 64, *expected[1:]]
    for c_is_known in (None, False):
        assert changed_files(files) == {"a": True, "b": False, "c": c_is_known}


def test_a_file_that_changes_is_read_again(files: list[Path]) -> None:
    file_digests(files)
    files[1].write_bytes(b"shorter")
    found = files[0].stat()
    files[0].write_bytes(LARGE[1:] + b"z")
    os.utime(files[0], ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert file_digests(files[:2]) == [sha256(LARGE[1:] + b"z"), sha256(b"shorter")]


@pytest.mark.parametrize("content", ["no json", "[]", '{"a": 1}', '{"a": [1]}'])
def test_kept_digests_that_cannot_be_understood_count_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / KEPT).write_text(content)
    assert file_digests([tmp_path / "a"]) == [sha256(b"first")]


def test_the_hubs_cache_needs_no_reading(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    blob = tmp_path / "blobs" / sha256(b"weights")
    blob.write_bytes(b"other weights")
    (tmp_path / "snapshot").mkdir()
    file = tmp_path / "snapshot" / "model.safetensors"
    file.symlink_to(blob)
    assert file_digests([file]) == [sha256(b"weights")]
    assert changed_files([file]) == {"model.safetensors": True}


def test_kept_digests_are_for_all_users_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"first")
    changed_files([tmp_path / "a"])
    assert (tmp_path / KEPT).stat().st_mode & 0o777 == 0o644


def test_digests_that_cannot_be_kept_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / KEPT).mkdir()
    assert changed_files([tmp_path / "a"]) == {"a": None}
    assert {path.name for path in tmp_path.iterdir()} == {"a", KEPT}
