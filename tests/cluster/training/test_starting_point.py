"""Jobs that continue from tuned weights of other jobs."""

import gc
import hashlib
import weakref
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import StoredFile
from cluster.contracts.errors import TrainingFailed
from cluster.contracts.imports import CONFIG_FILE, WEIGHTS_FILE, ImportRequest
from cluster.contracts.jobs import Finished, JobSpec
from cluster.storage.keys import sibling_key
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import download
from cluster.training.evaluation import live
from cluster.training.importing.adapter import import_adapter
from cluster.training.model import trainee
from cluster.training.model.trainee import load_decoder
from tests.cluster.training.recording import Recording, record
from tests.families import make_family
from tests.tiers import sampled
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]

LONG_STILL = {"learning_rate": 1e-30, "n_epochs": 1, "batch_size": 21}
"""One step that changes nothing: its loss is that of the initial weights."""


def continued(spec: JobSpec, parent: Recording, job: str, **changes: Any) -> JobSpec:
    assert isinstance(parent.result, Finished)
    config = spec.config.model_copy(update=changes)
    return spec.model_copy(update={"job_id": job, "start_from": parent.result.manifest_key, "config": config})


@pytest.fixture
def without_chance_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_chance_collections")
@pytest.mark.parametrize(
    ("parent_type", "type_"), sampled([("full", "qlora"), ("qlora", "full")], [("qlora", "full")])
)
def test_no_model_is_left_in_memory_when_the_next_one_is_loaded(
    make_spec: MakeSpec,
    store: LocalStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    parent_type: str,
    type_: str,
) -> None:
    """The base that is merged into or only scored, the few layers on which a way to compute is found, and the
    model that is trained. Models in 4 bits refer to themselves."""
    loaded: list[weakref.ref[Any]] = []

    def load_alone(*arguments: Any, **keywords: Any) -> Any:
        assert [each() for each in loaded] == [None] * len(loaded)
        model = load_decoder(*arguments, **keywords)
        # As FSDP2's state does, and bitsandbytes' on a GPU.
        model.__dict__["itself"] = model
        loaded.append(weakref.ref(model))
        return model

    base = make_tiny_base(tmp_path / "base", hidden=64)
    spec = make_spec({"base": base}, type=parent_type, n_epochs=1)
    parent = record(spec, store)
    gc.collect()
    monkeypatch.setattr(trainee, "load_decoder", load_alone)
    monkeypatch.setattr(live, "load_decoder", load_alone)
    record(continued(spec, parent, "ftjob-child", type=type_), store)
    assert len(loaded) >= 3


@pytest.mark.parametrize(
    ("parent_type", "type_"),
    sampled(product(["lora", "full"], repeat=2), [("lora", "lora"), ("lora", "full")]),
)
def test_a_job_continues_where_another_ended(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path, parent_type: str, type_: str
) -> None:
    """For each combination of training types. The new model is served in the form that it reports."""
    spec = make_spec(type=parent_type)
    parent = record(spec, store)
    ended_with = record(continued(spec, parent, "ftjob-still", type=type_, **LONG_STILL), store)
    reached = parent.steps[-1].full_valid_loss
    assert ended_with.steps[0].full_valid_loss == pytest.approx(reached, abs=1e-4)

    child = record(continued(spec, parent, "ftjob-child", type=type_), store)
    assert child.steps[-1].full_valid_loss < reached
    assert isinstance(child.result, Finished)
    assert child.result.form == ("lora" if (parent_type, type_) == ("lora", "lora") else "full")
    report = child.result.report
    assert report is not None
    assert report.held_out is not None
    assert report.held_out.base_loss == pytest.approx(reached, abs=1e-4), "its base is what it began with"
    assert report.held_out.tuned_loss == pytest.approx(child.steps[-1].full_valid_loss, abs=1e-4)


@pytest.mark.parametrize("type_", sampled(["qlora", "full"], ["qlora"]))
def test_a_job_continues_from_an_adapter_that_is_served_on_4_bits(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path, type_: str
) -> None:
    """It begins with that adapter on the 4-bit weights on which the adapter was trained and is served."""
    base = make_tiny_base(tmp_path / "base", hidden=64).model_copy(update={"qlora_served_on": "four_bits"})
    spec = make_spec({"base": base}, type="qlora")
    parent = record(spec, store)
    child = record(continued(spec, parent, "ftjob-child", type=type_, **LONG_STILL), store)
    reached = parent.steps[-1].full_valid_loss
    assert child.steps[0].full_valid_loss == pytest.approx(reached, abs=1e-4)
    assert isinstance(child.result, Finished)
    assert child.result.form == type_
    assert child.result.report is not None
    assert child.result.report.held_out is not None
    assert child.result.report.held_out.base_loss == pytest.approx(reached, abs=1e-4)


def test_a_merged_model_includes_the_4_bit_weights_that_its_adapter_was_trained_on(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    base = make_tiny_base(tmp_path / "base", hidden=64).model_copy(update={"qlora_served_on": "four_bits"})
    spec = make_spec({"base": base}, type="full")
    parent = record(spec, store)
    child = record(continued(spec, parent, "ftjob-child", type="qlora"), store)
    assert isinstance(child.result, Finished)
    assert child.result.form == "full"
    assert child.result.report is not None
    assert child.result.report.held_out is not None
    assert child.result.report.trained_loss is not None
    trained = child.result.report.trained_loss
    assert child.result.report.held_out.tuned_loss == pytest.approx(trained, abs=1e-4)


def test_a_job_continues_from_an_imported_adapter(make_spec: MakeSpec, store: LocalStore) -> None:
    spec = make_spec(type="lora")
    parent = record(spec, store)
    assert isinstance(parent.result, Finished)
    files = []
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        key = sibling_key(parent.result.manifest_key, name)
        files.append(StoredFile(key=key, sha256=hashlib.sha256(store.get(key)).hexdigest()))
    request = ImportRequest(import_id="modelimport-1", base=spec.base, config=files[0], weights=files[1])
    imported = import_adapter(request, store)
    shape = imported.training.model_dump(include={"type", "r", "alpha", "target_modules"})
    still = continued(spec, parent, "ftjob-still", **shape, **LONG_STILL)
    still = still.model_copy(update={"start_from": imported.weights.manifest_key})
    reached = parent.steps[-1].full_valid_loss
    assert record(still, store).steps[0].full_valid_loss == pytest.approx(reached, abs=1e-4)


def test_a_continued_job_resumes_bit_identically(make_spec: MakeSpec, store: LocalStore) -> None:
    spec = make_spec()
    parent = record(spec, store)
    child = continued(spec, parent, "ftjob-child")
    whole = record(child, store)
    stopped = record(child.model_copy(update={"attempt": 2}), store, stop_after=5)
    resume_from = stopped.checkpoints[-1].manifest_key
    resumed = record(child.model_copy(update={"attempt": 3, "resume_from": resume_from}), store)
    assert stopped.losses + resumed.losses == whole.losses


@pytest.mark.parametrize(
    "how",
    [
        {"type": "lora"},
        {"type": "full"},
        {"type": "peft", "peft_config": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}},
    ],
    ids=["lora", "full", "prefix"],
)
def test_what_a_sweep_leaves_of_an_ended_job_is_enough_to_continue_it(
    make_spec: MakeSpec, store: LocalStore, how: dict[str, Any]
) -> None:
    """The losses are bit-identical to those with everything that the job had stored."""
    spec = make_spec(**how)
    parent = record(spec, store)
    child = continued(spec, parent, "ftjob-child")
    expected = record(child, store).losses
    assert isinstance(parent.result, Finished)
    folder = parent.result.manifest_key.removesuffix("manifest.json")
    if parent.result.form != "prefix":
        store.delete_many([info.key for info in store.list(f"{folder}resume")])
    assert record(child.model_copy(update={"attempt": 2}), store).losses == expected


@pytest.mark.parametrize("type_", sampled(["lora", "full"], ["lora"]))
def test_the_optimizers_moments_are_restored_on_request(
    make_spec: MakeSpec, store: LocalStore, type_: str
) -> None:
    """They change the first update, and leave the loss before it the same."""
    spec = make_spec(type=type_)
    parent = record(spec, store)
    without = record(continued(spec, parent, "ftjob-without"), store)
    with_them = record(continued(spec, parent, "ftjob-with", restore_optimizer=True), store)
    assert with_them.losses[0] == pytest.approx(without.losses[0], abs=1e-6)
    assert with_them.losses[1] != pytest.approx(without.losses[1], abs=1e-6)


@pytest.mark.parametrize("change", [{"optimizer": "adamw_8bit"}, {"type": "full"}])
def test_moments_of_another_optimizer_or_of_other_parameters_are_refused(
    make_spec: MakeSpec, store: LocalStore, change: dict[str, Any]
) -> None:
    spec = make_spec()
    parent = record(spec, store)
    with pytest.raises(TrainingFailed) as caught:
        record(continued(spec, parent, "ftjob-other", restore_optimizer=True, **change), store)
    assert caught.value.param == "training.restore_optimizer"


def test_a_preference_job_continues_a_supervised_one(
    make_spec: MakeSpec, store: LocalStore, put_rows: Callable[..., tuple[str, str]]
) -> None:
    """Its reference is the supervised model, so it begins with ln 2."""
    spec = make_spec()
    parent = record(spec, store)
    pairs = [
        {
            "input": {"messages": [{"role": "user", "content": f"message {number}"}]},
            "preferred_output": [{"role": "assistant", "content": "the invoice"}],
            "non_preferred_output": [{"role": "assistant", "content": "Thank you"}],
        }
        for number in range(12)
    ]
    key, sha256 = put_rows("file-pairs", pairs)
    child = continued(spec, parent, "ftjob-dpo", method="dpo", beta=0.1).model_copy(
        update={"training_key": key, "training_sha256": sha256, "validation_key": None}
    )
    recording = record(child, store)
    assert recording.losses[0] == pytest.approx(0.6931472, abs=1e-5)
    assert recording.losses[-1] < 0.6


def test_weights_of_another_base_or_shape_are_refused(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    spec = make_spec()
    parent = record(spec, store)
    other = make_tiny_base(tmp_path / "other", seed=1)
    wrong_base = continued(spec, parent, "ftjob-other").model_copy(update={"base": other})
    with pytest.raises(TrainingFailed, match="another base"):
        record(wrong_base, store)
    with pytest.raises(TrainingFailed, match="does not fit") as caught:
        record(continued(spec, parent, "ftjob-wide", r=8), store)
    assert caught.value.code == "checkpoint_mismatch"
    assert caught.value.param == "training.from_checkpoint"


def test_a_full_model_made_from_an_adapter_is_the_merged_one(
    make_spec: MakeSpec, store: LocalStore, base: BaseSpec, tmp_path: Path
) -> None:
    spec = make_spec()
    parent = record(spec, store)
    still = record(continued(spec, parent, "ftjob-still", type="full", **LONG_STILL), store)
    assert isinstance(still.result, Finished)
    assert isinstance(parent.result, Finished)
    for name, recording in (("parent", parent), ("child", still)):
        (tmp_path / name).mkdir()
        download(store, recording.result.manifest_key, tmp_path / name)  # type: ignore[union-attr]
    from peft import PeftModel

    plain = AutoModelForCausalLM.from_pretrained(base.source.path, dtype=torch.float32)
    merged = PeftModel.from_pretrained(plain, tmp_path / "parent").merge_and_unload()
    child = AutoModelForCausalLM.from_pretrained(tmp_path / "child", dtype=torch.float32)
    token_ids = torch.arange(30)[None]
    torch.testing.assert_close(child(token_ids).logits, merged(token_ids).logits, atol=1e-4, rtol=1e-4)


def test_an_encoder_continues_only_with_the_classes_that_it_knows(
    make_config: Callable[..., Any],
    put_rows: Callable[..., tuple[str, str]],
    store: LocalStore,
    tmp_path: Path,
) -> None:
    """With other classes, the rows of its head would silently change their meaning."""

    def rows(*names: str) -> list[dict[str, str]]:
        return [{"text": f"message {number}", "label": names[number % 2]} for number in range(12)]

    key, sha256 = put_rows("file-first", rows("bad", "good"))
    spec = JobSpec(
        job_id="ftjob-first",
        attempt=1,
        attempt_token="token",
        service_url="http://127.0.0.1:1",
        device="cpu",
        base=make_family("bert", tmp_path / "bert"),
        config=make_config(type="full", max_length=128),
        training_key=key,
        training_sha256=sha256,
    )
    parent = record(spec, store)
    again = record(continued(spec, parent, "ftjob-again"), store)
    assert again.losses[0] < parent.losses[0]
    key, sha256 = put_rows("file-other", rows("good", "late"))
    other = continued(spec, parent, "ftjob-late").model_copy(
        update={"training_key": key, "training_sha256": sha256}
    )
    with pytest.raises(TrainingFailed, match="bad, good"):
        record(other, store)


@pytest.mark.parametrize("parent_type", ["full", "lora"])
@pytest.mark.parametrize("type_", ["full", "lora"])
def test_a_continued_encoder_is_compared_with_the_classifier_that_it_was(
    make_config: Callable[..., Any],
    put_rows: Callable[..., tuple[str, str]],
    store: LocalStore,
    tmp_path: Path,
    parent_type: str,
    type_: str,
) -> None:
    rows = [{"text": f"message {number}", "label": ["bad", "good"][number % 2]} for number in range(12)]
    key, sha256 = put_rows("file-first", rows)
    spec = JobSpec(
        job_id="ftjob-first",
        attempt=1,
        attempt_token="token",
        service_url="http://127.0.0.1:1",
        device="cpu",
        base=make_family("bert", tmp_path / "bert"),
        config=make_config(type=parent_type, max_length=128, learning_rate=3e-3),
        training_key=key,
        training_sha256=sha256,
        validation_key=key,
        validation_sha256=sha256,
    )
    parent = record(spec, store)
    still = record(continued(spec, parent, "ftjob-still", type=type_, **LONG_STILL), store)
    assert isinstance(parent.result, Finished)
    assert isinstance(still.result, Finished)
    first, second = (result.report and result.report.held_out for result in (parent.result, still.result))
    assert first is not None
    assert second is not None
    assert first.tuned_loss != pytest.approx(first.base_loss, abs=1e-2)
    assert second.base_loss == pytest.approx(first.tuned_loss, abs=1e-3)
    assert second.base_accuracy == first.tuned_accuracy
