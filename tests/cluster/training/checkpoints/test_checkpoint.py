"""Checkpoints resume bit-identically, are readable by other tools, and are complete or absent."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.resolve import base_digest, template_digest
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import CorruptArtefact, NotFound, Unavailable
from cluster.contracts.jobs import Finished, JobSpec
from cluster.contracts.manifest import weight_file_names
from cluster.storage.files import unobserved
from cluster.storage.keys import sibling_key
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo, ObjectStore
from cluster.training.checkpoints.checkpoint import download
from cluster.training.checkpoints.node_copies import NodeCopies
from tests.cluster.training.recording import Recording, read_state, record
from tests.tiny_base import CHAT_TEMPLATE, make_tiny_base

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]


def files_of(store: ObjectStore, manifest_key: str) -> list[str]:
    return [info.key.rpartition("/")[2] for info in store.list(manifest_key.rpartition("/")[0] + "/")]


def final_files(recording: Recording, store: ObjectStore, folder: Path) -> Path:
    assert isinstance(recording.result, Finished)
    folder.mkdir()
    download(store, recording.result.manifest_key, folder)
    return folder


def assert_same_ending(whole: Recording, resumed: Recording, store: LocalStore, tmp_path: Path) -> None:
    expected = final_files(whole, store, tmp_path / "whole")
    found = final_files(resumed, store, tmp_path / "again")
    for path in expected.glob("*.safetensors"):
        left, right = load_file(path), load_file(found / path.name)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left), path.name
    (before, left), (after, right) = (
        read_state(store, run.states[-1].manifest_key, tmp_path / f"state-{number}")
        for number, run in enumerate((whole, resumed))
    )
    assert before.progress == after.progress
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("stop_after", [6, 9], ids=["after an epoch", "in mid-epoch"])
@pytest.mark.parametrize("type_", ["lora", "full"])
def test_a_resumed_run_ends_as_if_it_had_never_stopped(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path, type_: str, stop_after: int
) -> None:
    spec = make_spec(type=type_, dropout=0.1, n_epochs=3)
    whole = record(spec, store)
    stopped = record(spec.model_copy(update={"attempt": 2}), store, stop_after=stop_after)
    resume_from = stopped.checkpoints[-1].manifest_key
    resumed = record(spec.model_copy(update={"attempt": 3, "resume_from": resume_from}), store)

    assert [step.step for step in resumed.steps] == list(range(stop_after + 1, 19))
    assert stopped.losses + resumed.losses == whole.losses
    assert [s.grad_norm for s in stopped.steps + resumed.steps] == [s.grad_norm for s in whole.steps]
    assert [s.full_valid_loss for s in stopped.steps + resumed.steps] == [
        s.full_valid_loss for s in whole.steps
    ]
    assert isinstance(whole.result, Finished)
    assert isinstance(resumed.result, Finished)
    assert resumed.result.trained_tokens == whole.result.trained_tokens
    assert_same_ending(whole, resumed, store, tmp_path)


def test_full_training_of_a_bf16_base_resumes_from_fp32_masters(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    base = make_tiny_base(tmp_path / "bf16", dtype="bfloat16", tie_word_embeddings=True)
    spec = make_spec({"base": base}, type="full")
    whole = record(spec, store)
    stopped = record(spec.model_copy(update={"attempt": 2}), store, stop_after=5)
    resume_from = stopped.checkpoints[-1].manifest_key
    resumed = record(spec.model_copy(update={"attempt": 3, "resume_from": resume_from}), store)
    assert stopped.losses + resumed.losses == whole.losses
    assert_same_ending(whole, resumed, store, tmp_path)
    folder = tmp_path / "again"
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    assert AutoModelForCausalLM.from_pretrained(folder).dtype == torch.bfloat16


def test_each_step_draws_new_dropout(make_spec: MakeSpec, store: LocalStore) -> None:
    still = record(make_spec(learning_rate=1e-30, dropout=0.5, n_epochs=2, batch_size=21), store)
    assert still.steps[0].train_loss == pytest.approx(still.steps[1].train_loss, abs=1e-5)
    first, second = (step.grad_norm for step in still.steps)
    assert first != pytest.approx(second, rel=1e-3)


def test_a_run_resumed_after_its_last_step_only_finishes(make_spec: MakeSpec, store: LocalStore) -> None:
    spec = make_spec()
    whole = record(spec, store)
    assert isinstance(whole.result, Finished)
    again = record(spec.model_copy(update={"attempt": 2, "resume_from": whole.result.manifest_key}), store)
    # What a whole run takes was not measured again.
    assert again.result == whole.result.model_copy(update={"cost": None})
    assert not again.steps


def test_training_and_pausing_work_in_a_thread(make_spec: MakeSpec, store: LocalStore) -> None:
    recordings: list[Recording] = []
    thread = threading.Thread(target=lambda: recordings.append(record(make_spec(), store, stop_after=4)))
    thread.start()
    thread.join()
    (recording,) = recordings
    assert recording.result is not None
    assert recording.result.state == "stopped"
    assert [saved.step for saved in recording.checkpoints] == [4]


def test_an_adapter_loads_in_plain_peft_and_gives_the_same_probe_scores(
    make_spec: MakeSpec, store: LocalStore, base: BaseSpec, tmp_path: Path
) -> None:
    recording = record(make_spec(), store)
    assert isinstance(recording.result, Finished)
    manifest, _ = download(store, recording.result.manifest_key, tmp_path)
    assert set(weight_file_names(manifest)) == {"adapter_config.json", "adapter_model.safetensors"}
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == base.alias
    plain = AutoModelForCausalLM.from_pretrained(base.source.path, dtype=torch.float32)
    assert_scores_probe(PeftModel.from_pretrained(plain, tmp_path), manifest)


def test_a_full_model_loads_in_plain_transformers_and_gives_the_same_probe_scores(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    recording = record(make_spec(type="full"), store)
    assert isinstance(recording.result, Finished)
    manifest, _ = download(store, recording.result.manifest_key, tmp_path)
    assert_scores_probe(AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32), manifest)
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == CHAT_TEMPLATE


def assert_scores_probe(model: Any, manifest: Any) -> None:
    assert manifest.probe.token_ids
    for row, expected in zip(manifest.probe.token_ids, manifest.probe.logprobs, strict=True):
        token_ids = torch.tensor([row])
        with torch.no_grad():
            logprobs = model(token_ids).logits[0, :-1].log_softmax(-1).gather(-1, token_ids[0, 1:, None])
        torch.testing.assert_close(logprobs[:, 0], torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_the_manifest_pins_base_data_template_and_configuration(
    make_spec: MakeSpec, store: LocalStore, base: BaseSpec, tmp_path: Path
) -> None:
    spec = make_spec()
    recording = record(spec, store)
    manifest, saved = download(store, recording.checkpoints[0].manifest_key, tmp_path)
    assert saved == recording.checkpoints[0].weights
    assert manifest.base_digest == base_digest(Path(base.source.path))
    assert manifest.data_sha256 == spec.training_sha256
    assert manifest.template_sha256 == template_digest(CHAT_TEMPLATE)
    assert manifest.config == spec.config
    assert (manifest.step, manifest.total_steps, manifest.epoch) == (6, 12, 1.0)
    stored = set(files_of(store, saved.manifest_key))
    state, _ = read_state(store, saved.manifest_key, tmp_path / "state")
    assert {file.name for file in manifest.files + state.files} | {
        "manifest.json",
        "resume_manifest.json",
    } == stored
    assert all(name.endswith((".safetensors", ".json")) for name in stored)


class FailingStore:
    """A store that refuses upload number `fails_at`, and records the order of the uploads before it."""

    encryption_key: str | None = None

    def __init__(self, inner: LocalStore, fails_at: int) -> None:
        self._inner, self._left = inner, fails_at

    def encrypted_with(self, key: str | None) -> Self:
        assert key is None
        return self

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        self._count(key)
        return self._inner.put(key, source)

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self._count(key)
        return self._inner.upload(key, path, on_progress=on_progress)

    def _count(self, key: str) -> None:
        self._left -= key.startswith("jobs/")
        if self._left == 0:
            raise Unavailable("Storage does not answer.")

    def get(self, key: str) -> bytes:
        return self._inner.get(key)

    def open(self, key: str) -> BinaryIO:
        return self._inner.open(key)

    def stat(self, key: str) -> ObjectInfo:
        return self._inner.stat(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def delete(self, key: str) -> None:
        self._inner.delete(key)

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        return self._inner.download(key, path, on_progress=on_progress)


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4, 5])
def test_an_incomplete_upload_is_not_a_checkpoint(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path, fails_at: int
) -> None:
    """There are five uploads: two of weights, one of the resume state, and the manifests."""
    spec = make_spec(n_epochs=1)
    with pytest.raises(Unavailable):
        record(spec, FailingStore(store, fails_at))
    manifest_key = "jobs/ftjob-test/attempts/1/checkpoints/step-00000006/manifest.json"
    assert len(files_of(store, manifest_key)) == fails_at - 1
    if fails_at == 5:
        # The weights are safe, and the run repeats the steps to them.
        download(store, manifest_key, tmp_path)
    else:
        with pytest.raises(NotFound):
            download(store, manifest_key, tmp_path)
    with pytest.raises(NotFound):
        NodeCopies(store, tmp_path).state(manifest_key)


def fetch(key: str, folder: Path, store: LocalStore) -> None:
    download(store, key, folder)


def test_a_flipped_bit_or_a_missing_file_is_found_before_use(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    spec = make_spec(n_epochs=1)
    key = record(spec, store).checkpoints[0].manifest_key
    again = spec.model_copy(update={"attempt": 2, "resume_from": key})
    names = files_of(store, key)
    assert len(names) == 5
    for name in names:
        use = partial(record, again) if name.startswith("resume") else partial(fetch, key, tmp_path)
        path = sibling_key(key, name)
        body = store.get(path)
        store.put(path, body[:-9] + bytes([body[-9] ^ 128]) + body[-8:])
        with pytest.raises(CorruptArtefact):
            use(store)
        if name not in ("manifest.json", "resume_manifest.json"):
            store.delete(path)
            with pytest.raises(CorruptArtefact):
                use(store)
        store.put(path, body)
    record(again, store)
    download(store, key, tmp_path)


def test_weights_without_a_state_are_trained_again_and_a_lost_state_is_an_error(
    make_spec: MakeSpec, store: LocalStore
) -> None:
    """An attempt may be killed after it has stored the weights of its first checkpoint."""
    spec = make_spec(n_epochs=1)
    whole = record(spec, store)
    key = whole.checkpoints[0].manifest_key
    store.delete(sibling_key(key, "resume_manifest.json"))
    again = record(spec.model_copy(update={"attempt": 2, "resume_from": key}), store)
    assert again.losses == whole.losses
    lost = spec.model_copy(update={"attempt": 3, "resume_from": whole.states[0].manifest_key})
    with pytest.raises(CorruptArtefact, match="missing"):
        record(lost, store)


def test_a_checkpoint_of_another_base_or_other_data_is_refused(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    spec = make_spec(n_epochs=1)
    key = record(spec, store).checkpoints[0].manifest_key
    other = make_tiny_base(tmp_path / "other", seed=1)
    for changes in (
        {"base": other},
        {"training_key": "files/file-validation", "training_sha256": spec.validation_sha256},
    ):
        with pytest.raises(CorruptArtefact):
            record(spec.model_copy(update={"attempt": 2, "resume_from": key, **changes}), store)
