"""A node without room for what a run writes and downloads is found before training, and not by a write."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.contracts.devices import Pool
from cluster.contracts.errors import Unavailable
from cluster.contracts.jobs import Finished, JobSpec
from cluster.contracts.plan import DeviceMemory, Footprint
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import read_manifest
from cluster.training.failure import failed_state
from cluster.training.scratch_space import checkpoint_bytes, require_scratch
from cluster.training.world import World
from tests.cluster.training.recording import record

MakeSpec = Callable[..., JobSpec]
GB = 10**9


def footprint(form: Any, resume: int, served: int) -> Footprint:
    memory = dict.fromkeys(DeviceMemory.model_fields, 1)
    return Footprint(
        pool=Pool(kind="cpu", devices=8, nodes=4, host_bytes=GB),
        form=form,
        device=DeviceMemory(**memory),
        host_bytes=1,
        resume_state_bytes=resume,
        served_bytes=served,
    )


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the disk of temporary files has free."""
    found = SimpleNamespace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: found)
    return found


ALONE, SHARDED, REPLICATED = World(), World(0, 32, is_sharded=True), World(0, 32)
PER_NODE = World(0, 32, is_sharded=True, replicas=4)


@pytest.mark.parametrize(
    ("world", "form", "reads_state", "expected"),
    [
        (ALONE, "full", False, 96 + 16),
        (ALONE, "full", True, 96 + 16),
        (SHARDED, "full", False, (96 + 16) / 4),
        (SHARDED, "full", True, (96 + 16) / 4),
        (PER_NODE, "full", True, 96),
        (REPLICATED, "lora", False, 96 / 4 + 16),
        (REPLICATED, "lora", True, 96),
    ],
)
def test_a_node_needs_room_for_its_workers_share(
    world: World, form: str, reads_state: bool, expected: float
) -> None:
    planned = footprint(form, 96 * GB, 16 * GB)
    local_size = min(8, world.size)
    found = checkpoint_bytes(planned, world, local_size=local_size, reads_state=reads_state)
    assert found == expected * GB


def planned_spec(make_spec: MakeSpec, **training: Any) -> JobSpec:
    spec = make_spec(n_epochs=1, **training)
    config = spec.config.model_copy(update={"footprint": footprint("full", 96 * GB, 16 * GB)})
    return spec.model_copy(update={"config": config})


def test_a_full_disk_ends_an_attempt_before_training_and_is_the_platforms_fault(
    make_spec: MakeSpec, store: LocalStore, disk: SimpleNamespace
) -> None:
    disk.free = 111 * GB
    spec = planned_spec(make_spec, type="full")
    with pytest.raises(Unavailable, match=r"has 111\.0 GB free in .*, and needs 112\.0 GB.*TMPDIR") as caught:
        record(spec, store)
    failed = failed_state(caught.value)
    assert (failed.code, failed.is_user_fault) == ("insufficient_scratch", False)
    disk.free = 112 * GB
    assert isinstance(record(spec, store).result, Finished)


def test_tuned_weights_need_room_beside_the_checkpoints(
    make_spec: MakeSpec, store: LocalStore, disk: SimpleNamespace, tmp_path: Path
) -> None:
    disk.free = 112 * GB
    parent = record(make_spec(n_epochs=1), store).result
    assert isinstance(parent, Finished)
    manifest, _ = read_manifest(store, parent.manifest_key)
    size = sum(file.bytes for file in manifest.files)
    spec = planned_spec(make_spec).model_copy(update={"start_from": parent.manifest_key})
    disk.free += size - 1
    with pytest.raises(Unavailable):
        require_scratch(spec, store, ALONE, tmp_path / "none")
    downloaded = tmp_path / "shared" / "weights"
    downloaded.mkdir(parents=True)
    (downloaded / "file").write_bytes(b"1")
    require_scratch(spec, store, ALONE, downloaded.parent)
    merging = spec.config.model_copy(update={"type": "full"})
    with pytest.raises(Unavailable):
        require_scratch(spec.model_copy(update={"config": merging}), store, ALONE, downloaded.parent)
