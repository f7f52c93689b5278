import hashlib
from pathlib import Path
from typing import Any

import pytest

from cluster.contracts.errors import CorruptArtefact, InvalidRequest, NotFound
from cluster.contracts.generation import AdapterRef
from cluster.contracts.manifest import Manifest, ManifestFile, Probe
from cluster.serving.weights import WeightsFolder
from cluster.storage.local import LocalStore
from tests.cluster.serving.published import CONFIG

FITS = {"base_digest": "b", "template_digest": "t"}


def _publish(store: LocalStore, job: str, files: dict[str, bytes], **changes: Any) -> AdapterRef:
    key = f"jobs/{job}/attempts/1/checkpoints/step-00000001/manifest.json"
    listed = []
    for name, content in files.items():
        if "/" not in name and name != "..":
            store.put(key.replace("manifest.json", name), content)
        digest = hashlib.sha256(content).hexdigest()
        listed.append(ManifestFile(name=name, bytes=len(content), sha256=digest))
    fields: dict[str, Any] = {
        "job_id": job, "attempt": 1, "step": 1, "total_steps": 1, "epoch": 1.0, "form": "lora",
        "base_alias": "tiny", "base_digest": "b", "data_sha256": "", "template_sha256": "t",
        "config": CONFIG, "files": listed, "probe": Probe(token_ids=[], logprobs=[]),
    }  # fmt: skip
    content = Manifest(**fields | changes).model_dump_json().encode()
    store.put(key, content)
    return AdapterRef(digest=hashlib.sha256(content).hexdigest(), manifest_key=key)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_the_files_arrive_without_those_of_a_resume(store: LocalStore, tmp_path: Path) -> None:
    ref = _publish(
        store, "j", {"a.safetensors": b"aa", "a.json": b"{}", "resume_optimizer.safetensors": b"x"}
    )
    folder = WeightsFolder(tmp_path / "cache", store).fetch(ref, **FITS)
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "a.safetensors"]
    assert (folder / "a.safetensors").read_bytes() == b"aa"


def test_what_is_here_whole_is_not_fetched_again_and_what_is_spoiled_is(
    store: LocalStore, tmp_path: Path
) -> None:
    ref = _publish(store, "j", {"a.safetensors": b"aa"})
    weights = WeightsFolder(tmp_path / "cache", store)
    folder = weights.fetch(ref, **FITS)
    stored = ref.manifest_key.replace("manifest.json", "a.safetensors")
    store.delete(stored)
    assert weights.fetch(ref, **FITS) == folder
    (folder / "a.safetensors").write_bytes(b"ab")
    with pytest.raises(NotFound):
        weights.fetch(ref, **FITS)
    store.put(stored, b"aa")
    assert (weights.fetch(ref, **FITS) / "a.safetensors").read_bytes() == b"aa"


def test_bytes_that_differ_from_the_manifest_leave_nothing_behind(store: LocalStore, tmp_path: Path) -> None:
    ref = _publish(store, "j", {"a.safetensors": b"aa"})
    store.put(ref.manifest_key.replace("manifest.json", "a.safetensors"), b"ab")
    with pytest.raises(CorruptArtefact, match="differ"):
        WeightsFolder(tmp_path / "cache", store).fetch(ref, **FITS)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_changed_manifest_is_refused(store: LocalStore, tmp_path: Path) -> None:
    ref = _publish(store, "j", {"a.safetensors": b"aa"})
    store.put(ref.manifest_key, store.get(ref.manifest_key) + b" ")
    with pytest.raises(CorruptArtefact, match="digest"):
        WeightsFolder(tmp_path / "cache", store).fetch(ref, **FITS)


@pytest.mark.parametrize(
    "name", ["../up.json", "/etc/up.json", "a/b.json", "..", "model.bin", "weights.pt", "x.pkl", "run.py"]
)
def test_names_that_lead_elsewhere_or_can_run_are_refused(
    store: LocalStore, tmp_path: Path, name: str
) -> None:
    ref = _publish(store, "j", {"a.safetensors": b"aa", name: b"x"})
    with pytest.raises(InvalidRequest):
        WeightsFolder(tmp_path / "cache", store).fetch(ref, **FITS)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("field", ["base_digest", "template_sha256"])
def test_weights_for_another_base_or_template_are_refused(
    store: LocalStore, tmp_path: Path, field: str
) -> None:
    ref = _publish(store, "j", {"a.safetensors": b"aa"}, **{field: "other"})
    with pytest.raises(InvalidRequest):
        WeightsFolder(tmp_path / "cache", store).fetch(ref, **FITS)


def test_only_the_most_recently_used_stay_on_disk(store: LocalStore, tmp_path: Path) -> None:
    weights = WeightsFolder(tmp_path / "cache", store, max_entries=2)
    refs = [_publish(store, f"j{number}", {"a.safetensors": b"aa"}) for number in range(3)]
    for ref in (refs[0], refs[1], refs[0], refs[2]):
        weights.fetch(ref, **FITS)
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert kept == {refs[0].digest, refs[2].digest}
