"""Every training method learns, resumes bit-identically, and is exported as trained."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidConfiguration, InvalidRequest, TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig, TrainingOptions, check_options
from cluster.contracts.jobs import Finished, JobSpec, RunnerMessage, StepMetrics
from cluster.contracts.peft_options import ALLOWED
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import download
from cluster.training.checkpoints.resume_state import WEIGHTS
from cluster.training.checkpoints.served_files import merge
from cluster.training.data.tokenizer import load_tokenizer
from cluster.training.loop.throughput import flop_counter
from cluster.training.model import attention
from cluster.training.model.adapters import attach
from cluster.training.model.trainee import check_vocabulary, load_decoder
from tests.cluster.training.recording import Recording, read_state, record
from tests.tiers import sampled
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]

PEFT: dict[str, dict[str, Any]] = {
    "LORA": {"r": 4, "init_lora_weights": "pissa"},
    "ADALORA": {"init_r": 6, "target_r": 3, "tinit": 2, "tfinal": 3, "deltaT": 2},
    "LOHA": {"r": 4},
    "LOKR": {"r": 4},
    "OFT": {"oft_block_size": 8},
    "VERA": {"r": 4},
    "IA3": {},
    "LN_TUNING": {},
    "HRA": {"r": 4},
    "MISS": {"r": 4},
    "FOURIERFT": {"n_frequency": 40},
    "PREFIX_TUNING": {"num_virtual_tokens": 5},
    "PROMPT_TUNING": {"num_virtual_tokens": 5},
    "P_TUNING": {"num_virtual_tokens": 5, "encoder_hidden_size": 16},
}


WAYS = (*PEFT, "rslora", "dora", "qlora", "adamw_8bit", "activation_checkpointing")
OF_THEIR_OWN = frozenset(
    {"LORA", "ADALORA", "LOHA", "PREFIX_TUNING", "dora", "qlora", "adamw_8bit", "activation_checkpointing"}
)
"""What our code treats differently, and one each of what it merges alike or puts before prompts alike."""


@pytest.fixture
def base(tmp_path: Path) -> BaseSpec:
    """Wide enough for blocks of 4-bit weights."""
    return make_tiny_base(tmp_path / "base", hidden=64)


def options(way: str) -> dict[str, Any]:
    """The configuration of one training method."""
    if way in PEFT:
        return {"type": "peft", "peft_config": {"peft_type": way, **PEFT[way]}}
    ways: dict[str, dict[str, Any]] = {
        "rslora": {"use_rslora": True},
        "dora": {"use_dora": True},
        "qlora": {"type": "qlora"},
        "adamw_8bit": {"type": "full", "optimizer": "adamw_8bit", "learning_rate": 1e-3},
        "activation_checkpointing": {"activation_checkpointing": "full"},
    }
    return ways[way]


def messages(recording: Recording) -> list[str]:
    return [event.message for event in recording.events if isinstance(event, RunnerMessage)]


def test_every_allowed_peft_type_is_tried() -> None:
    assert PEFT.keys() == ALLOWED.keys()


@pytest.mark.parametrize("way", sampled(WAYS, OF_THEIR_OWN))
def test_it_learns_resumes_bit_identically_and_is_served_as_trained(
    make_spec: MakeSpec, store: LocalStore, way: str
) -> None:
    spec = make_spec(dropout=0.1, n_epochs=3, **options(way))
    whole = record(spec, store)
    assert whole.losses[-1] < whole.losses[0]
    stopped = record(spec.model_copy(update={"attempt": 2}), store, stop_after=8)
    resume_from = stopped.checkpoints[-1].manifest_key
    resumed = record(spec.model_copy(update={"attempt": 3, "resume_from": resume_from}), store)
    assert stopped.losses + resumed.losses == whole.losses
    assert isinstance(whole.result, Finished)
    assert isinstance(resumed.result, Finished)
    assert resumed.result.report == whole.result.report

    report = whole.result.report
    assert report is not None
    assert report.held_out is not None
    trained = whole.steps[-1].full_valid_loss
    # QLoRA is the only method whose served form differs from the trained one, and it reports this.
    tolerance = 0.3 if way == "qlora" else 1e-5
    assert report.held_out.tuned_loss == pytest.approx(trained, abs=tolerance)
    assert report.held_out.tuned_loss < report.held_out.base_loss


def test_qlora_is_evaluated_in_the_form_that_is_served(
    make_spec: MakeSpec, store: LocalStore, base: BaseSpec, tmp_path: Path
) -> None:
    """Probe and report use the adapter on the base in full precision, which differs a little from what was
    trained. The report and an event also give the loss as trained."""
    recording = record(make_spec(type="qlora"), store)
    assert isinstance(recording.result, Finished)
    files = tmp_path / "files"
    files.mkdir()
    manifest, _ = download(store, recording.result.manifest_key, files)
    assert manifest.form == "lora"
    plain = AutoModelForCausalLM.from_pretrained(base.source.path, dtype=torch.float32)
    served = PeftModel.from_pretrained(plain, files).eval()
    for row, expected in zip(manifest.probe.token_ids, manifest.probe.logprobs, strict=True):
        token_ids = torch.tensor([row])
        with torch.no_grad():
            logprobs = served(token_ids).logits[0, :-1].log_softmax(-1).gather(-1, token_ids[0, 1:, None])
        torch.testing.assert_close(logprobs[:, 0], torch.tensor(expected), atol=1e-5, rtol=1e-5)
    assert recording.result.report is not None
    assert recording.result.report.held_out is not None
    trained, served_loss = recording.result.report.trained_loss, recording.result.report.held_out.tuned_loss
    assert trained == recording.steps[-1].full_valid_loss
    assert served_loss != pytest.approx(trained, abs=1e-4)
    assert (
        f"Loss on the held-out examples: {trained:.4f} on the base in 4 bits, as trained; "
        f"{served_loss:.4f} on the base in full precision, as served."
    ) in messages(recording)


def test_qlora_without_held_out_examples_reports_on_what_it_is_served(
    make_spec: MakeSpec, store: LocalStore
) -> None:
    recording = record(make_spec({"validation_key": None}, type="qlora", n_epochs=1), store)
    assert isinstance(recording.result, Finished)
    assert recording.result.report is not None
    assert recording.result.report.trained_loss is None
    assert any("served on the base in full precision. With held-out" in one for one in messages(recording))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_qlora_is_served_on_4_bits_if_the_operator_chooses_so(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path, dtype: str
) -> None:
    base = make_tiny_base(tmp_path / "base", hidden=64, dtype=dtype)
    base = base.model_copy(update={"qlora_served_on": "four_bits"})
    recording = record(make_spec({"base": base}, type="qlora"), store)
    assert isinstance(recording.result, Finished)
    assert recording.result.form == "qlora"
    report = recording.result.report
    assert report is not None
    assert report.held_out is not None
    assert report.trained_loss is not None
    # Training adds the update under autocast, where bf16 rounds in other places.
    tolerance = 1e-5 if dtype == "float32" else 0.02
    assert report.held_out.tuned_loss == pytest.approx(report.trained_loss, abs=tolerance)

    files = tmp_path / "files"
    files.mkdir()
    manifest, _ = download(store, recording.result.manifest_key, files)
    in_four_bits = load_decoder(tmp_path / "base", base, manifest.config, torch.device("cpu"))
    trained = PeftModel.from_pretrained(in_four_bits, files).eval()
    for row, expected in zip(manifest.probe.token_ids, manifest.probe.logprobs, strict=True):
        token_ids = torch.tensor([row])
        with torch.no_grad():
            logprobs = trained(token_ids).logits[0, :-1].float().log_softmax(-1)
        logprobs = logprobs.gather(-1, token_ids[0, 1:, None])[:, 0]
        torch.testing.assert_close(logprobs, torch.tensor(expected), atol=tolerance * 10, rtol=0)


def test_the_report_has_the_trained_loss_of_the_checkpoint_that_early_stopping_chose(
    make_spec: MakeSpec, store: LocalStore
) -> None:
    """It is not the loss of the last epoch, whose model is another one."""
    stopping = {"patience": 1, "min_delta": 100.0}
    recording = record(make_spec(n_epochs=3, early_stopping=stopping), store)
    assert isinstance(recording.result, Finished)
    assert recording.result.report is not None
    losses = [step.full_valid_loss for step in recording.steps if step.full_valid_loss is not None]
    assert len(losses) == 2
    assert recording.result.report.trained_loss == losses[0] != losses[1]


def test_nothing_is_merged_into_a_base_in_4_bits(
    make_config: Callable[..., TrainingConfig], base: BaseSpec, tmp_path: Path
) -> None:
    quantized = load_decoder(Path(base.source.path), base, make_config(type="qlora"), torch.device("cpu"))
    adapted = get_peft_model(quantized, LoraConfig(target_modules="all-linear"))
    with pytest.raises(ValueError, match="never into 4 bits"):
        merge(adapted, None, "float32", tmp_path)


@pytest.mark.parametrize("type_", ["lora", "full"])
def test_a_tied_head_gives_the_same_loss_after_every_save_and_load(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path, type_: str
) -> None:
    """The loss is the same as trained, reloaded, merged, saved and reloaded again."""
    tied = make_tiny_base(tmp_path / "tied", tie_word_embeddings=True)
    recording = record(make_spec({"base": tied}, type=type_), store)
    assert isinstance(recording.result, Finished)
    files = tmp_path / "files"
    files.mkdir()
    manifest, _ = download(store, recording.result.manifest_key, files)
    models = []
    if type_ == "lora":
        adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tied.source.path), files)
        models.append(adapted.eval())
        merged = tmp_path / "merged"
        plain = AutoModelForCausalLM.from_pretrained(tied.source.path, dtype=torch.float32)
        merge(PeftModel.from_pretrained(plain, files), load_tokenizer(tied), "float32", merged)
        models.append(AutoModelForCausalLM.from_pretrained(merged))
        models[-1].save_pretrained(tmp_path / "again")
        models.append(AutoModelForCausalLM.from_pretrained(tmp_path / "again"))
    else:
        models.append(AutoModelForCausalLM.from_pretrained(files))
    for model in models:
        for row, expected in zip(manifest.probe.token_ids, manifest.probe.logprobs, strict=True):
            token_ids = torch.tensor([row])
            with torch.no_grad():
                logprobs = model(token_ids).logits[0, :-1].log_softmax(-1)
            found = logprobs.gather(-1, token_ids[0, 1:, None])[:, 0]
            torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_a_tokenizer_with_more_tokens_than_the_model_is_found_at_load(base: BaseSpec) -> None:
    model = AutoModelForCausalLM.from_pretrained(base.source.path)
    rows = model.get_input_embeddings().weight.shape[0]
    check_vocabulary(model, rows - 1)
    with pytest.raises(InvalidConfiguration, match=f"token {rows}"):
        check_vocabulary(model, rows)


@pytest.mark.parametrize(
    "wrong",
    [{"peft_type": "FOURIERFT", "n_frequency": 10**9}, {"peft_type": "IA3", "target_modules": ["no_such"]}],
)
def test_an_adapter_that_does_not_fit_is_a_fault_of_the_job(
    make_spec: MakeSpec, store: LocalStore, wrong: dict[str, Any]
) -> None:
    with pytest.raises(TrainingFailed, match="cannot be attached") as caught:
        record(make_spec(type="peft", peft_config=wrong), store)
    assert caught.value.param == "training.peft_config"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, torch.AcceleratorError])
def test_a_device_that_fails_while_an_adapter_is_attached_is_no_fault_of_the_adapter(
    make_config: Callable[..., TrainingConfig], base: BaseSpec, error: type[Exception]
) -> None:
    class Failing:
        def modules(self) -> None:
            raise error("pretended")

    with pytest.raises(error, match="pretended"):
        attach(Failing(), base, make_config(), total_steps=1)


PREFERENCES: list[dict[str, Any]] = [
    {
        "input": {"messages": [{"role": "user", "content": "Sort this message " * (1 + number % 4)}]},
        "preferred_output": [{"role": "assistant", "content": "the invoice " * (1 + number % 5)}],
        "non_preferred_output": [{"role": "assistant", "content": "Thank you " * (1 + number % 3)}],
    }
    for number in range(21)
]


class TestPreferences:
    @pytest.fixture
    def chat_rows(self) -> list[dict[str, Any]]:
        return PREFERENCES

    @pytest.mark.parametrize("change", [{}, {"type": "full", "learning_rate": 1e-3}, {"packing": False}])
    def test_the_loss_is_that_of_the_paper(
        self, make_spec: MakeSpec, store: LocalStore, change: dict[str, Any]
    ) -> None:
        """It begins with ln 2, where policy and reference agree, and falls as the rewards diverge."""
        recording = record(make_spec(method="dpo", beta=0.1, **change), store)
        assert recording.losses[0] == pytest.approx(math.log(2), abs=1e-5)
        assert recording.losses[-1] < 0.5
        assert recording.steps[-1].train_mean_token_accuracy == 1
        margin = recording.steps[-1].reward_margin
        assert margin is not None
        assert margin > 0.5

    def test_packed_and_padded_pairs_give_the_same_losses(
        self, make_spec: MakeSpec, store: LocalStore
    ) -> None:
        packed = record(make_spec(method="dpo", beta=0.1, batch_size=21), store)
        padded = record(make_spec(method="dpo", beta=0.1, batch_size=21, packing=False), store)
        assert packed.losses == pytest.approx(padded.losses, abs=1e-5)

    def test_a_resume_keeps_the_reference_of_the_first_step(
        self, make_spec: MakeSpec, store: LocalStore
    ) -> None:
        spec = make_spec(method="dpo", beta=0.1, type="full", learning_rate=1e-3)
        whole = record(spec, store)
        stopped = record(spec.model_copy(update={"attempt": 2}), store, stop_after=5)
        resume_from = stopped.checkpoints[-1].manifest_key
        resumed = record(spec.model_copy(update={"attempt": 3, "resume_from": resume_from}), store)
        assert stopped.losses + resumed.losses == whole.losses

    def test_the_report_compares_with_a_base_that_prefers_neither(
        self, make_spec: MakeSpec, store: LocalStore
    ) -> None:
        recording = record(make_spec(method="dpo", beta=0.1), store)
        assert isinstance(recording.result, Finished)
        report = recording.result.report
        assert report is not None
        assert report.held_out is not None
        assert report.held_out.base_loss == pytest.approx(math.log(2))
        assert report.held_out.tuned_loss == pytest.approx(recording.steps[-1].full_valid_loss, abs=1e-5)
        assert report.general is not None


def test_dora_is_served_merged_and_its_merge_is_what_was_trained(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    recording = record(make_spec(use_dora=True), store)
    assert isinstance(recording.result, Finished)
    manifest, _ = download(store, recording.result.manifest_key, tmp_path)
    assert manifest.form == "full"
    merged = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    token_ids = torch.tensor([manifest.probe.token_ids[0]])
    with torch.no_grad():
        loss = functional.cross_entropy(merged(token_ids).logits[0, :-1], token_ids[0, 1:])
    expected = manifest.probe.logprobs[0]
    assert float(loss) == pytest.approx(-sum(expected) / len(expected), abs=1e-5)


def test_adalora_moves_rank_between_layers(make_spec: MakeSpec, store: LocalStore, tmp_path: Path) -> None:
    """The budget falls from 6 ranks a layer to 3. Ranks that were cut contribute nothing."""
    recording = record(make_spec(n_epochs=4, **options("ADALORA")), store)
    assert isinstance(recording.result, Finished)
    _, kept = read_state(store, recording.result.manifest_key, tmp_path)
    weights = {name: value for name, value in kept.items() if name.startswith(WEIGHTS)}
    ranks = [int((value != 0).sum()) for name, value in weights.items() if "lora_E" in name]
    assert sum(ranks) == 3 * len(ranks)
    assert len(set(ranks)) > 1


@pytest.mark.thorough
# torch.compile reads gradients that do not exist, which triggers this warning.
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_compiled_layers_change_no_loss_and_exclude_segment_attention(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    """Compiled attention would be recompiled for the lengths of every batch. One layer takes long
    enough."""
    shallow = {"base": make_tiny_base(tmp_path / "shallow", layers=1)}
    plain = record(make_spec(shallow, n_epochs=1), store)
    compiled = record(make_spec(shallow, n_epochs=1, compile=True), store)
    assert compiled.losses == pytest.approx(plain.losses, abs=1e-4)
    assert ALL_ATTENTION_FUNCTIONS[attention.IMPLEMENTATION]._torchdynamo_disable
    attention.register()


def test_metrics_have_memory_but_no_utilisation_where_the_peak_is_unknown(
    make_spec: MakeSpec, store: LocalStore
) -> None:
    steps: list[StepMetrics] = record(make_spec(), store).steps
    assert all(step.memory_bytes is not None and step.memory_bytes > 1 << 20 for step in steps)
    assert {step.mfu for step in steps} == {None}


@pytest.mark.parametrize("way", ["LORA", "LN_TUNING", "IA3", "VERA", "dora", "qlora"])
def test_trainable_weights_are_in_fp32_on_a_base_in_bf16(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path, way: str
) -> None:
    """bf16 would round small updates away."""
    rounded = make_tiny_base(tmp_path / "bf16", hidden=64, dtype="bfloat16")
    recording = record(make_spec({"base": rounded}, **options(way)), store)
    assert isinstance(recording.result, Finished)
    _, kept = read_state(store, recording.result.manifest_key, tmp_path / "state")
    assert {value.dtype for name, value in kept.items() if name.startswith(WEIGHTS)} == {torch.float32}
    assert recording.losses[-1] < recording.losses[0]


def test_prefix_tuning_keeps_its_activations(base: BaseSpec) -> None:
    tuning = TrainingOptions(
        type="peft",
        peft_config={"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4},
        activation_checkpointing="full",
    )
    with pytest.raises(InvalidRequest, match="PREFIX_TUNING") as caught:
        check_options(tuning, base, "supervised")
    assert caught.value.param == "training.activation_checkpointing"


def test_a_tied_weight_is_stored_once(make_spec: MakeSpec, store: LocalStore, tmp_path: Path) -> None:
    tied = make_tiny_base(tmp_path / "tied", tie_word_embeddings=True)
    recording = record(make_spec({"base": tied}, type="full"), store)
    assert isinstance(recording.result, Finished)
    files = tmp_path / "files"
    files.mkdir()
    download(store, recording.result.manifest_key, files)
    assert "lm_head.weight" not in load_file(files / "model.safetensors")


def test_a_model_of_an_unknown_shape_has_no_utilisation() -> None:
    assert flop_counter(object(), is_full=True) is None
