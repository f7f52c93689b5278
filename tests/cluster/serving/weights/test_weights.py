import os
from pathlib import Path

import pytest

from cluster.contracts.errors import CorruptArtefact, InvalidRequest, NotFound
from cluster.contracts.weights import WeightsRef
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from tests.cluster.serving.published import publish_bytes

FITS = {"base_digest": "b", "template_digest": "t"}


def _acquire(weights: WeightsFolder, ref: WeightsRef) -> Path:
    with weights.lease(ref, **FITS) as folder:
        return folder


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_the_files_arrive_without_those_of_a_resume(store: LocalStore, tmp_path: Path) -> None:
    ref = publish_bytes(
        store, "j", {"a.safetensors": b"aa", "a.json": b"{}", "resume_optimizer.safetensors": b"x"}
    )
    folder = _acquire(WeightsFolder(tmp_path / "cache", store), ref)
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "a.safetensors", "manifest.json"]
    assert (folder / "a.safetensors").read_bytes() == b"aa"


def test_what_is_here_whole_is_not_fetched_again_and_what_is_spoiled_is(
    store: LocalStore, tmp_path: Path
) -> None:
    ref = publish_bytes(store, "j", {"a.safetensors": b"aa"})
    weights = WeightsFolder(tmp_path / "cache", store)
    folder = _acquire(weights, ref)
    stored = ref.manifest_key.replace("manifest.json", "a.safetensors")
    store.delete(stored)
    assert _acquire(weights, ref) == folder
    file = folder / "a.safetensors"
    before = file.stat().st_mtime_ns
    file.write_bytes(b"ab")
    # The file system's clock may not have ticked since the download.
    os.utime(file, ns=(before + 1, before + 1))
    with pytest.raises(NotFound):
        _acquire(weights, ref)
    store.put(stored, b"aa")
    assert (_acquire(weights, ref) / "a.safetensors").read_bytes() == b"aa"


def test_what_is_here_whole_needs_no_storage(store: LocalStore, tmp_path: Path) -> None:
    ref = publish_bytes(store, "j", {"a.safetensors": b"aa"})
    folder = _acquire(WeightsFolder(tmp_path / "cache", store), ref)
    away = WeightsFolder(tmp_path / "cache", LocalStore(tmp_path / "nothing"))
    assert _acquire(away, ref) == folder
    with pytest.raises(InvalidRequest), away.lease(ref, base_digest="other", template_digest="t"):
        pass
    (folder / "manifest.json").write_bytes(b"{}")
    with pytest.raises(NotFound):
        _acquire(away, ref)


def test_bytes_that_differ_from_the_manifest_leave_nothing_behind(store: LocalStore, tmp_path: Path) -> None:
    ref = publish_bytes(store, "j", {"a.safetensors": b"aa"})
    store.put(ref.manifest_key.replace("manifest.json", "a.safetensors"), b"ab")
    with pytest.raises(CorruptArtefact, match="differ"):
        _acquire(WeightsFolder(tmp_path / "cache", store), ref)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_changed_manifest_is_refused(store: LocalStore, tmp_path: Path) -> None:
    ref = publish_bytes(store, "j", {"a.safetensors": b"aa"})
    store.put(ref.manifest_key, store.get(ref.manifest_key) + b" ")
    with pytest.raises(CorruptArtefact, match="digest"):
        _acquire(WeightsFolder(tmp_path / "cache", store), ref)


@pytest.mark.parametrize(
    "name", ["../up.json", "/etc/up.json", "a/b.json", "..", "model.bin", "weights.pt", "x.pkl", "run.py"]
)
def test_names_that_lead_elsewhere_or_can_run_are_refused(
    store: LocalStore, tmp_path: Path, name: str
) -> None:
    ref = publish_bytes(store, "j", {"a.safetensors": b"aa", name: b"x"})
    with pytest.raises((InvalidRequest, CorruptArtefact)):
        _acquire(WeightsFolder(tmp_path / "cache", store), ref)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("field", ["base_digest", "template_sha256"])
def test_weights_for_another_base_or_template_are_refused(
    store: LocalStore, tmp_path: Path, field: str
) -> None:
    ref = publish_bytes(store, "j", {"a.safetensors": b"aa"}, **{field: "other"})
    with pytest.raises(InvalidRequest):
        _acquire(WeightsFolder(tmp_path / "cache", store), ref)


def test_only_the_most_recently_used_that_fit_the_budget_stay_on_disk(
    store: LocalStore, tmp_path: Path
) -> None:
    sizes = {"old": 4, "older": 3, "new": 3, "large": 6}
    refs = {
        job: publish_bytes(store, job, {"a.safetensors": b"a" * size * 10_000}) for job, size in sizes.items()
    }

    def kept(weights: WeightsFolder, *jobs: str) -> set[str]:
        for job in jobs:
            _acquire(weights, refs[job])
        return {job for job, ref in refs.items() if (tmp_path / "cache" / ref.digest).exists()}

    weights = WeightsFolder(tmp_path / "cache", store, budget_bytes=110_000)
    assert kept(weights, "old", "older", "old", "new") == {"old", "older", "new"}
    assert kept(weights, "large") == {"new", "large"}
    assert kept(WeightsFolder(tmp_path / "cache", store, budget_bytes=1), "old") == {"old"}, "larger than all"


def test_only_so_many_stay_on_disk_however_small(store: LocalStore, tmp_path: Path) -> None:
    weights = WeightsFolder(tmp_path / "cache", store, max_entries=2)
    refs = [publish_bytes(store, f"j{number}", {"a.safetensors": b"aa"}) for number in range(3)]
    for ref in (refs[0], refs[1], refs[0], refs[2]):
        _acquire(weights, ref)
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert kept == {refs[0].digest, refs[2].digest}


def test_a_borrowed_folder_outlasts_a_burst_of_others(store: LocalStore, tmp_path: Path) -> None:
    long = publish_bytes(store, "long", {"a.safetensors": b"aa"})
    room = 2 + len(store.get(long.manifest_key))
    weights, neighbour = (WeightsFolder(tmp_path / "cache", store, budget_bytes=room) for _ in range(2))
    with weights.lease(long, **FITS) as folder, weights.lease(long, **FITS):
        for number in range(4):
            other = publish_bytes(store, f"j{number}", {"a.safetensors": b"bb"})
            _acquire(weights, other)
            _acquire(neighbour, other)
            assert (folder / "a.safetensors").read_bytes() == b"aa"
        assert len(list((tmp_path / "cache").iterdir())) == 2
    _acquire(weights, publish_bytes(store, "last", {"a.safetensors": b"bb"}))
    assert not folder.exists()


def test_a_file_is_read_for_its_digest_once_while_it_stays_as_it_is(
    store: LocalStore, tmp_path: Path
) -> None:
    """Detected by the only change that is not seen: other bytes with the same size and time."""
    ref = publish_bytes(store, "j", {"a.safetensors": b"aa"})
    weights = WeightsFolder(tmp_path / "cache", store)
    file = _acquire(weights, ref) / "a.safetensors"
    time_ns = file.stat().st_mtime_ns
    file.write_bytes(b"ab")
    os.utime(file, ns=(time_ns, time_ns))
    assert (_acquire(weights, ref) / "a.safetensors").read_bytes() == b"ab"
    assert (_acquire(WeightsFolder(tmp_path / "cache", store), ref) / "a.safetensors").read_bytes() == b"aa"


def test_unfinished_downloads_that_a_crash_left_are_removed(store: LocalStore, tmp_path: Path) -> None:
    ref = publish_bytes(store, "j", {"a.safetensors": b"aa"})
    folder = _acquire(WeightsFolder(tmp_path / "cache", store), ref)
    for name in (".old", ".young"):
        (tmp_path / "cache" / name).mkdir()
        (tmp_path / "cache" / name / "a.safetensors").write_bytes(b"a")
    for path in (tmp_path / "cache" / ".old", folder):
        os.utime(path, (0, 0))
    WeightsFolder(tmp_path / "cache", store)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {".young", ref.digest}
