"""A checkpoint's manifest says what it was trained from."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from cluster.bases.resolve import base_digest, base_folder
from cluster.contracts.datasets import DatasetCheckRequest
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.jobs import Finished, JobSpec
from cluster.contracts.manifest import Manifest, provenance_of
from cluster.storage.local import LocalStore
from cluster.training.data.compiled import check_dataset
from tests.cluster.conftest import PACKAGED
from tests.cluster.training.recording import record

pytestmark = pytest.mark.slow


def test_a_manifest_names_data_base_parent_software_and_configuration_and_the_run_its_cost(
    make_spec: Callable[..., JobSpec], store: LocalStore
) -> None:
    spec = make_spec(PACKAGED, n_epochs=1, validation_split=0.0)
    parent = record(spec, store).result
    assert isinstance(parent, Finished)
    child = spec.model_copy(update={"job_id": "ftjob-child", "start_from": parent.manifest_key})
    recording = record(child, store)
    assert isinstance(recording.result, Finished)
    manifest = Manifest.model_validate_json(store.get(recording.result.manifest_key))
    found = provenance_of(manifest)
    assert recording.checkpoints[-1].provenance == found
    assert found.base_sha256 == base_digest(base_folder(spec.base))
    assert (found.training_sha256, found.validation_sha256) == (spec.training_sha256, spec.validation_sha256)
    assert (found.general_sha256, found.parent_sha256) == (None, parent.manifest_sha256)
    assert found.config == spec.config
    assert found.environment is not None
    assert found.environment.device == "cpu"
    assert found.environment.versions["torch"] == version("torch")
    assert len(found.environment.code_sha256) == 64
    cost = recording.result.cost
    assert cost is not None
    assert (cost.device, cost.steps, cost.trained_tokens) == (
        "cpu",
        recording.steps[-1].step,
        recording.result.trained_tokens,
    )
    assert cost.training_seconds > 0
    assert cost.evaluation_seconds > 0
    assert cost.held_out_tokens > 0


def test_a_part_of_a_run_has_no_cost(make_spec: Callable[..., JobSpec], store: LocalStore) -> None:
    spec = make_spec(n_epochs=1)
    paused = record(spec, store, stop_after=3).checkpoints[-1]
    resumed = spec.model_copy(update={"attempt": 2, "resume_from": paused.manifest_key})
    result = record(resumed, store).result
    assert isinstance(result, Finished)
    assert result.cost is None


def test_a_check_refuses_a_base_whose_weights_have_changed(
    make_spec: Callable[..., JobSpec], store: LocalStore, chat_rows: Any
) -> None:
    spec = make_spec()
    request = DatasetCheckRequest(
        base=spec.base,
        key=spec.training_key,
        sha256=spec.training_sha256,
        base_sha256=base_digest(base_folder(spec.base)),
        validation_split=0.25,
        seed=7,
    )
    found = check_dataset(request, store)
    assert (found.n_examples, found.n_held_out) == (len(chat_rows), 5)
    assert 0 < found.n_held_out_tokens < found.n_tokens
    assert [row.tokens for row in found.longest_rows] == sorted(
        (row.tokens for row in found.longest_rows), reverse=True
    )
    with pytest.raises(InvalidRequest) as refused:
        check_dataset(request.model_copy(update={"base_sha256": "0" * 64}), store)
    assert refused.value.code == "base_changed"
