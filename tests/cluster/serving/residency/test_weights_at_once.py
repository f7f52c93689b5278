"""Concurrent use of weights on disk by many threads and several processes."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.contracts.errors import NotFound
from cluster.contracts.weights import WeightsRef
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from tests.cluster.serving.churn import churn
from tests.cluster.serving.published import publish_bytes
from tests.cluster.serving.stores import GatedStore, MeetingStore

FITS = {"base_digest": "b", "template_digest": "t"}
FILES = {"a.safetensors": b"aa", "a.json": b"{}"}


def _contents(weights: WeightsFolder, ref: WeightsRef) -> dict[str, bytes]:
    with weights.lease(ref, **FITS) as folder:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def test_files_of_an_adapter_are_downloaded_concurrently(tmp_path: Path) -> None:
    store = MeetingStore(tmp_path / "store", parties=2)
    ref = publish_bytes(store, "j", FILES)
    assert _contents(WeightsFolder(tmp_path / "cache", store), ref) == FILES


def test_adapters_are_downloaded_concurrently(tmp_path: Path) -> None:
    store = MeetingStore(tmp_path / "store", parties=3)
    weights = WeightsFolder(tmp_path / "cache", store)
    refs = [publish_bytes(store, f"j{number}", {"a.json": b"{}"}) for number in range(3)]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda ref: _contents(weights, ref), refs)) == [{"a.json": b"{}"}] * 3


def test_concurrent_threads_share_one_download(tmp_path: Path) -> None:
    store = GatedStore(tmp_path / "store")
    weights = WeightsFolder(tmp_path / "cache", store)
    ref = publish_bytes(store, "j", FILES)
    with ThreadPoolExecutor(8) as threads:
        reads = [threads.submit(_contents, weights, ref) for _ in range(8)]
        assert store.is_held_up.wait(300)
        store.gate.set()
        assert [one.result() for one in reads] == [FILES] * 8
    assert len(store.downloads) == len(FILES)


def test_a_slow_download_blocks_no_other_adapter_and_survives_another_start(tmp_path: Path) -> None:
    store = GatedStore(tmp_path / "store", slow="slow")
    weights = WeightsFolder(tmp_path / "cache", store)
    slow, quick = (publish_bytes(store, job, FILES) for job in ("slow", "quick"))
    with ThreadPoolExecutor(1) as threads:
        reads = threads.submit(_contents, weights, slow)
        assert store.is_held_up.wait(300)
        try:
            assert _contents(weights, quick) == FILES
            assert _contents(WeightsFolder(tmp_path / "cache", store), quick) == FILES
        finally:
            store.gate.set()
        assert reads.result() == FILES


def test_a_failed_file_fails_the_download_which_can_be_retried(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    weights = WeightsFolder(tmp_path / "cache", store)
    ref = publish_bytes(store, "j", FILES)
    missing = ref.manifest_key.replace("manifest.json", "a.json")
    store.delete(missing)
    with pytest.raises(NotFound):
        _contents(weights, ref)
    assert list((tmp_path / "cache").iterdir()) == []
    store.put(missing, FILES["a.json"])
    assert _contents(weights, ref) == FILES


def test_processes_share_a_cache_and_evict_nothing_that_another_one_reads(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    refs = [publish_bytes(store, f"j{number}", {"a.safetensors": b"%d" % number}) for number in range(6)]
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [context.Process(target=churn, args=(tmp_path, refs, seed, start)) for seed in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    assert not list((tmp_path / "cache").glob(".*"))
