"""A run that began under an earlier release, whose checkpoints held the state of one worker, goes on."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from safetensors.torch import save_file

from cluster.contracts.jobs import JobSpec
from cluster.storage.keys import manifest_key
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import download, upload
from cluster.training.checkpoints.resume_state import EXTRAS, MOMENTS, WEIGHTS
from tests.cluster.training.recording import Recording, read_state, record

pytestmark = pytest.mark.slow

FILES = {WEIGHTS: "resume_weights", MOMENTS: "resume_optimizer", EXTRAS: "resume_extras"}


def store_as_before(store: LocalStore, run: Recording, key: str, folder: Path) -> None:
    """Stores the first checkpoint of a run as earlier releases did."""
    first = run.checkpoints[0].manifest_key
    state, tensors = read_state(store, first, folder / "state")
    served = folder / "served"
    served.mkdir()
    manifest, _ = download(store, first, served)
    for prefix, name in FILES.items():
        # What is measured was not kept.
        named = {
            each.removeprefix(prefix): value
            for each, value in tensors.items()
            if each.startswith(prefix) and not each.startswith(f"{EXTRAS}measured/")
        }
        save_file(named, served / f"{name}.safetensors")
    (served / "resume_progress.json").write_text(
        json.dumps({"progress": asdict(state.progress), "best": None})
    )
    upload(store, served, key, manifest)


@pytest.mark.parametrize("type_", ["lora", "full"])
def test_a_checkpoint_of_an_earlier_release_is_resumed(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path, type_: str
) -> None:
    """Its end is that of a run that never stopped, evaluation included."""
    spec = make_spec(type=type_)
    whole = record(spec, store)
    key = manifest_key("ftjob-test", 2, 6)
    store_as_before(store, whole, key, tmp_path)
    resumed = record(spec.model_copy(update={"attempt": 3, "resume_from": key}), store)
    assert resumed.losses == whole.losses[6:]
    assert resumed.result is not None
    assert whole.result is not None
    assert resumed.result.report == whole.result.report
