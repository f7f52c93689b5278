"""The evaluation report: what training gained and what it cost."""

import json
import math
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.general import GENERAL_SET
from cluster.contracts.bases import BaseSpec
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.jobs import Finished, JobSpec, RunnerMessage
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import download
from cluster.training.loop.reporting import PassProgress
from tests.cluster.conftest import PACKAGED
from tests.cluster.training.recording import Recording, record
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]


def report_of(recording: Recording) -> EvaluationReport:
    assert isinstance(recording.result, Finished)
    assert recording.result.report is not None
    return recording.result.report


@torch.no_grad()
def reference(base: Any, tuned: Any, tokenizer: Any, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Computes the figures with plain transformers, one row at a time."""
    totals = {"base": 0.0, "tuned": 0.0, "kl": 0.0, "count": 0.0}
    for row in rows:
        encoded = tokenizer.apply_chat_template(
            row["messages"], return_dict=True, return_assistant_tokens_mask=True, return_tensors="pt"
        )
        token_ids = encoded["input_ids"]
        learned = torch.as_tensor(encoded["assistant_masks"]).view(-1)[1:] == 1
        targets = token_ids[0, 1:][learned]
        before = base(token_ids).logits[0, :-1][learned].log_softmax(-1)
        after = tuned(token_ids).logits[0, :-1][learned].log_softmax(-1)
        totals["base"] -= float(before.gather(1, targets[:, None]).sum())
        totals["tuned"] -= float(after.gather(1, targets[:, None]).sum())
        totals["kl"] += float((before.exp() * (before - after)).sum())
        totals["count"] += len(targets)
    return {name: total / totals["count"] for name, total in totals.items()}


PISSA = {"peft_type": "LORA", "init_lora_weights": "pissa"}


@pytest.mark.parametrize(
    "training",
    [
        {"type": "lora"},
        {"type": "full"},
        {"type": "qlora"},
        {"type": "lora", "use_dora": True},
        {"type": "peft", "peft_config": PISSA},
    ],
    ids=["lora", "full", "qlora", "merged", "merged, with the base changed"],
)
def test_gain_forgetting_and_divergence_are_those_of_plain_transformers(
    make_spec: MakeSpec,
    store: LocalStore,
    base: BaseSpec,
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    tmp_path: Path,
    training: dict[str, Any],
) -> None:
    """QLoRA is measured on the base in full precision, on which it is served."""
    key, sha256 = put_rows("file-general", chat_rows[4:9])
    recording = record(make_spec({"general_key": key, "general_sha256": sha256}, **training), store)
    report = report_of(recording)
    assert isinstance(recording.result, Finished)
    download(store, recording.result.manifest_key, tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(base.source.path, dtype=torch.float32)
    if recording.result.form == "lora":
        from peft import PeftModel

        other = AutoModelForCausalLM.from_pretrained(base.source.path, dtype=torch.float32)
        tuned = PeftModel.from_pretrained(other, tmp_path).eval()
    else:
        tuned = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base.source.path)
    assert report.held_out is not None
    assert report.general is not None
    for found, rows in ((report.held_out, chat_rows[:4]), (report.general, chat_rows[4:9])):
        expected = reference(plain, tuned, tokenizer, rows)
        assert found.base_loss == pytest.approx(expected["base"], abs=1e-4)
        assert found.tuned_loss == pytest.approx(expected["tuned"], abs=1e-4)
    assert report.general_kl == pytest.approx(expected["kl"], abs=1e-4)
    assert report.regression == pytest.approx(expected["tuned"] - expected["base"], abs=2e-4)
    assert report.held_out.n_examples == 4


def test_the_owner_is_informed_of_the_evaluations_beginning_and_result(
    make_spec: MakeSpec, store: LocalStore
) -> None:
    recording = record(make_spec(), store)
    last = max(place for place, event in enumerate(recording.events) if not isinstance(event, RunnerMessage))
    begun, ended = [
        event.message for event in recording.events[last + 1 :] if isinstance(event, RunnerMessage)
    ]
    report = report_of(recording)
    assert report.held_out is not None
    assert report.general is not None
    counts = f"{report.held_out.n_examples} held-out and {report.general.n_examples} general examples"
    assert begun == f"Evaluating the tuned model on {counts}"
    assert ended.startswith("Evaluation finished: held-out loss ")
    for loss in (report.held_out.base_loss, report.held_out.tuned_loss, report.general.tuned_loss):
        assert f"{loss:.4f}" in ended


def test_slow_phases_report_their_progress(
    make_spec: MakeSpec, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thresholds of 0 seconds make every pass report."""
    monkeypatch.setattr("cluster.training.loop.reporting.NEXT_MESSAGE_SECONDS", 0.0)
    monkeypatch.setattr(PassProgress, "__init__", partialmethod(PassProgress.__init__, first_seconds=0.0))
    plain = record(make_spec(), store)
    told = [event.message for event in plain.events if isinstance(event, RunnerMessage)]
    for phase in ("Validation: ", "Evaluation: "):
        shares = [text for text in told if text.startswith(phase)]
        assert shares, told
        assert shares[0].startswith(f"{phase}0% (0 of ")


def test_the_owner_replaces_the_general_set(
    make_spec: MakeSpec, store: LocalStore, put_rows: Callable[..., tuple[str, str]], chat_rows: Any
) -> None:
    key, sha256 = put_rows("file-general", chat_rows[:4])
    report = report_of(record(make_spec({"general_key": key, "general_sha256": sha256}), store))
    assert report.general is not None
    assert report.held_out is not None
    assert report.general.model_dump() == pytest.approx(report.held_out.model_dump(), abs=1e-6)
    assert report.regression is not None
    assert report.regression < 0


def test_rows_of_the_general_set_that_a_base_cannot_render_are_left_out(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    """A plain template renders no tools, but rows without tools are still measured."""
    template = (
        "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    base = make_tiny_base(tmp_path / "plain", chat_template=template, context_length=1024)
    recording = record(make_spec({"base": base, **PACKAGED}, max_length=1024), store)
    with_tools = sum("tools" in json.loads(line) for line in GENERAL_SET.read_text().splitlines())
    assert with_tools
    report = report_of(recording)
    assert report.general is not None
    assert report.general.n_examples == len(GENERAL_SET.read_text().splitlines()) - with_tools
    told = [event.message for event in recording.events if isinstance(event, RunnerMessage)]
    assert any(f"without {with_tools} row(s) of the general set" in message for message in told), told


def test_without_data_there_is_no_figure_but_a_reason(
    make_spec: MakeSpec, store: LocalStore, put_rows: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    """A base without a chat template cannot render the general set."""
    rows = [{"prompt": f"the {number}", "completion": " invoice"} for number in range(12)]
    key, sha256 = put_rows("file-completions", rows)
    plain = make_tiny_base(tmp_path / "plain", chat_template=None)
    changes = {"base": plain, "training_key": key, "training_sha256": sha256, "validation_key": None}
    recording = record(make_spec({**changes, **PACKAGED}), store)
    assert report_of(recording) == EvaluationReport(
        held_out=None, general=None, general_kl=None, regression=None
    )
    told = [event.message for event in recording.events if isinstance(event, RunnerMessage)]
    assert any("What the model forgets is not measured" in message for message in told)


def test_a_split_holds_examples_out_of_training(make_spec: MakeSpec, store: LocalStore) -> None:
    changes = {"validation_key": None, "validation_sha256": None}
    recording = record(make_spec(changes, validation_split=0.2, n_epochs=1, batch_size=1), store)
    assert recording.steps[-1].total_steps == 17
    assert recording.steps[-1].full_valid_loss is not None
    held_out = report_of(recording).held_out
    assert held_out is not None
    assert held_out.n_examples == 4


def test_early_stopping_ends_with_the_best_checkpoint(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    """The learning rate is so high that the model soon overfits."""
    changes = {"validation_key": None, "validation_sha256": None}
    spec = make_spec(
        changes, validation_split=0.2, early_stopping={"patience": 2}, n_epochs=40, learning_rate=2e-2
    )
    recording = record(spec, store)
    losses = {step.step: step.full_valid_loss for step in recording.steps if step.full_valid_loss is not None}
    best = min(losses, key=lambda step: losses[step] or math.inf)
    assert len(losses) < 40
    assert list(losses)[-3] == best, "two stale epochs, then the end"
    assert isinstance(recording.result, Finished)
    chosen = next(saved for saved in recording.checkpoints if saved.step == best)
    assert recording.result.manifest_key == chosen.manifest_key
    held_out = report_of(recording).held_out
    assert held_out is not None
    assert held_out.tuned_loss == pytest.approx(losses[best], abs=1e-5)
    told = [event.message for event in recording.events if isinstance(event, RunnerMessage)]
    assert any(f"checkpoint of step {best}" in message for message in told)

    # A run that is killed after its last step is not trained further.
    last = recording.checkpoints[-1].manifest_key
    ended = record(spec.model_copy(update={"attempt": 3, "resume_from": last}), store)
    assert not ended.steps
    assert isinstance(ended.result, Finished)
    assert ended.result.manifest_key == recording.result.manifest_key

    # A run that is killed after the best epoch and resumed ends with the same checkpoint.
    later = next(saved for saved in recording.checkpoints if saved.step > best)
    again = record(spec.model_copy(update={"attempt": 2, "resume_from": later.manifest_key}), store)
    assert isinstance(again.result, Finished)
    assert again.result.manifest_key == recording.result.manifest_key
    assert report_of(again) == report_of(recording)
