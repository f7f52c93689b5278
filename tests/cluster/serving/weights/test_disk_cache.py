import shutil
from pathlib import Path

import pytest

from cluster.contracts.errors import InvalidConfiguration, Unavailable
from cluster.serving.weights.checksums import Checksums
from cluster.serving.weights.disk_cache import DiskCache, budget_from_environment


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", budget_bytes=10, max_entries=10)


def test_what_is_not_committed_leaves_nothing_behind(cache: DiskCache, tmp_path: Path) -> None:
    with cache.unfinished("a") as folder:
        (folder / "file").write_bytes(b"x")
    assert list((tmp_path / "cache").iterdir()) == []
    with cache.lease("a") as found:
        assert found is None


def test_a_disk_that_fails_is_told_in_words(cache: DiskCache, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(Unavailable, match="Cannot access"), cache.unfinished("a"):
        pass


def test_a_committed_folder_is_leased_until_it_is_left(cache: DiskCache) -> None:
    with cache.unfinished("a") as folder:
        committed = cache.commit(folder, "a")
        assert committed is not None
        assert cache.evict(for_bytes=10, for_entries=10) == []
    with cache.lease("a") as found:
        assert found == committed
    assert cache.evict(for_entries=10) == [committed]


def test_of_two_who_fill_the_same_folder_the_first_wins(cache: DiskCache) -> None:
    with cache.unfinished("a") as first, cache.unfinished("a") as second:
        for folder in (first, second):
            (folder / "file").write_bytes(b"x")
        assert cache.commit(first, "a") is not None
        assert cache.commit(second, "a") is None


def test_the_budget_is_what_the_operator_says_or_half_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUNERY_CACHE_BYTES", raising=False)
    free = shutil.disk_usage(tmp_path).free
    assert 0.4 * free < budget_from_environment(tmp_path / "not" / "yet") < 0.6 * free
    monkeypatch.setenv("TUNERY_CACHE_BYTES", "5000")
    assert budget_from_environment(tmp_path) == 5000
    monkeypatch.setenv("TUNERY_CACHE_BYTES", "5 GB")
    with pytest.raises(InvalidConfiguration, match="5 GB"):
        budget_from_environment(tmp_path)


def test_checksums_of_the_folders_asked_for_last_are_remembered(tmp_path: Path) -> None:
    checksums = Checksums(capacity=1)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x")
        checksums.learn(tmp_path / name / "file", "as recorded")
    assert checksums.of(tmp_path / "b" / "file") == "as recorded"
    assert checksums.of(tmp_path / "a" / "file") != "as recorded"
    assert checksums.of(tmp_path / "a" / "none") is None


def test_a_folder_that_cannot_get_its_name_is_the_disks_failure(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, budget_bytes=100, max_entries=9)
    (tmp_path / "a").write_bytes(b"in the way")
    with cache.unfinished("a") as folder, pytest.raises(Unavailable, match="Cannot access a"):
        cache.commit(folder, "a")
