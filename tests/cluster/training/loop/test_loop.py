"""The loop against an independent reference, and against itself with other microbatches."""

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import distributed, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import TrainingFailed
from cluster.contracts.jobs import JobSpec, RunnerEvent, RunnerMessage, StepMetrics
from cluster.storage.keys import sibling_key
from cluster.storage.local import LocalStore
from cluster.training.data.batches import Batcher, Microbatch
from cluster.training.data.compiled import compiled_dataset
from cluster.training.loop.compute import Compute
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.loop import Learner, RunData, train
from cluster.training.loop.objectives import LanguageObjective, Sums
from cluster.training.loop.optimizer import make_optimizer
from cluster.training.loop.out_of_memory import is_out_of_memory, typed_out_of_memory
from cluster.training.model.head import Head
from cluster.training.model.trainee import trainable_parameters
from tests.cluster.training.recording import Recording, record

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]


def final_weights(recording: Recording, store: LocalStore, tmp_path: Path) -> dict[str, torch.Tensor]:
    key = recording.checkpoints[-1].manifest_key
    name = next(n for n in ("adapter_model.safetensors", "model.safetensors") if exists(store, key, n))
    store.download(sibling_key(key, name), tmp_path / "final.safetensors")
    return load_file(tmp_path / "final.safetensors")


def exists(store: LocalStore, key: str, name: str) -> bool:
    return any(info.key == sibling_key(key, name) for info in store.list(key.rpartition("/")[0] + "/"))


def reference_losses(spec: JobSpec, rows: list[dict[str, Any]], steps: int) -> list[float]:
    """Trains with plain transformers, PEFT and autograd: one example at a time, with full logits."""
    config = spec.config
    tokenizer = AutoTokenizer.from_pretrained(spec.base.source.path)
    model = AutoModelForCausalLM.from_pretrained(spec.base.source.path, dtype=torch.float32)
    if config.type == "lora":
        torch.manual_seed(config.seed)
        lora = LoraConfig(r=config.r, lora_alpha=config.alpha, target_modules="all-linear")
        model = get_peft_model(model, lora)
    model.train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, weight_decay=0.0, foreach=False)
    examples = [
        tokenizer.apply_chat_template(
            row["messages"], return_dict=True, return_assistant_tokens_mask=True, return_tensors="pt"
        )
        for row in rows
    ]
    per_epoch = math.ceil(len(rows) / config.batch_size)
    total = per_epoch * config.n_epochs
    warmup = math.ceil(config.warmup_ratio * total)
    losses = []
    for step in range(steps):
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((config.seed, epoch)).permutation(len(rows))
        loss_sum, count = torch.zeros(()), 0
        for index in order[place * config.batch_size : (place + 1) * config.batch_size]:
            token_ids = examples[index]["input_ids"]
            labels = token_ids.clone()
            labels[torch.as_tensor(examples[index]["assistant_masks"]).view_as(labels) == 0] = -100
            logits = model(input_ids=token_ids, attention_mask=torch.ones_like(token_ids)).logits
            loss_sum = loss_sum + functional.cross_entropy(
                logits[0, :-1], labels[0, 1:], reduction="sum", ignore_index=-100
            )
            count += int((labels[0, 1:] != -100).sum())
        loss = loss_sum / count
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, config.max_grad_norm)
        rate = (step + 1) / warmup if step < warmup else (total - step) / (total - warmup)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(("type_", "rate"), [("lora", 5e-3), ("full", 1e-3)])
def test_twenty_steps_equal_plain_transformers_and_peft(
    make_spec: MakeSpec, store: LocalStore, chat_rows: list[dict[str, Any]], type_: str, rate: float
) -> None:
    spec = make_spec(type=type_, learning_rate=rate, n_epochs=4)
    ours = record(spec, store).losses[:20]
    reference = reference_losses(spec, chat_rows, 20)
    assert ours == pytest.approx(reference, abs=1e-5)
    assert ours[-1] < ours[0] - 0.1


def test_microbatches_of_any_size_give_the_same_step(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    whole = record(make_spec(batch_size=8, microbatch_tokens=100_000), store)
    expected = final_weights(whole, store, tmp_path)
    for microbatch_tokens in (120, 1):
        cut = record(make_spec(batch_size=8, microbatch_tokens=microbatch_tokens), store)
        assert cut.losses == pytest.approx(whole.losses, abs=1e-5)
        for name, weight in final_weights(cut, store, tmp_path).items():
            torch.testing.assert_close(weight, expected[name], atol=1e-5, rtol=1e-4)


def test_metrics_count_real_tokens_and_reach_the_last_step(make_spec: MakeSpec, store: LocalStore) -> None:
    recording = record(make_spec(), store)
    assert [step.step for step in recording.steps] == list(range(1, 13))
    assert {step.total_steps for step in recording.steps} == {12}
    assert [step.step for step in recording.steps if step.full_valid_loss is not None] == [6, 12]
    assert [saved.step for saved in recording.checkpoints] == [6, 12]
    assert recording.result is not None
    assert recording.result.state == "finished"


def test_validation_loss_falls_with_training(make_spec: MakeSpec, store: LocalStore) -> None:
    recording = record(make_spec(n_epochs=6, learning_rate=1e-2), store)
    held_out = [step.full_valid_loss for step in recording.steps if step.full_valid_loss is not None]
    assert len(held_out) == 6
    assert held_out[-1] < held_out[0]


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    make_spec: MakeSpec, store: LocalStore
) -> None:
    spec = make_spec(learning_rate=1e20, warmup_ratio=0.0, n_epochs=8, max_grad_norm=1e30)
    with pytest.raises(TrainingFailed) as caught:
        record(spec, store)
    assert caught.value.code == "non_finite_loss"


def test_cancel_ends_the_run_without_a_checkpoint(make_spec: MakeSpec, store: LocalStore) -> None:
    recording = record(make_spec(), store, stop_after=3, stop_with="cancel")
    assert recording.result is not None
    assert recording.result.state == "stopped"
    assert len(recording.steps) == 2
    assert not recording.checkpoints


def test_a_run_that_leaves_stores_no_weights_for_serving_and_is_resumed(
    make_spec: MakeSpec, store: LocalStore
) -> None:
    spec = make_spec()
    left = record(spec, store, stop_after=3, stop_with="leave")
    assert left.result is not None
    assert left.result.state == "stopped"
    assert not left.checkpoints
    (state,) = left.states
    assert state.step == 3
    resumed = record(spec.model_copy(update={"attempt": 2, "resume_from": state.manifest_key}), store)
    whole = record(spec.model_copy(update={"attempt": 3}), store)
    assert left.losses + resumed.losses == whole.losses


def test_lora_on_the_head_is_refused(make_spec: MakeSpec, store: LocalStore) -> None:
    for target in ("lm_head", "no_such_layer"):
        with pytest.raises(TrainingFailed) as caught:
            record(make_spec(target_modules=[target]), store)
        assert caught.value.code == "invalid_target_modules"


class FailingObjective(nn.Module):
    """Raises `error` for the microbatches that `fails` selects."""

    def __init__(self, spec: JobSpec, error: Exception, *, fails: Callable[[Microbatch], bool]) -> None:
        super().__init__()
        model = AutoModelForCausalLM.from_pretrained(spec.base.source.path, dtype=torch.float32)
        self.model = model
        self._inner = LanguageObjective(model, Head())
        self._error, self._fails = error, fails

    def forward(self, batch: Microbatch) -> Sums:
        if self._fails(batch):
            raise self._error
        return self._inner(batch)


def train_directly(
    spec: JobSpec, store: LocalStore, tmp_path: Path, objective: Any, **hooks: Any
) -> tuple[list[RunnerEvent], list[int]]:
    """Calls `train` itself; returns what it reported, and the steps after which it saved a checkpoint."""
    data = compiled_dataset(
        store,
        spec.base,
        key=spec.training_key,
        sha256=spec.training_sha256,
        method="supervised",
        max_length=256,
        policy="error",
        folder=tmp_path,
    )
    events: list[RunnerEvent] = []
    checkpoints: list[int] = []
    train(
        Learner(objective, make_optimizer(trainable_parameters(objective.model), spec.config)),
        RunData(Batcher(data, microbatch_tokens=spec.config.microbatch_tokens, layout="padded")),
        spec.config,
        Compute(torch.device("cpu")),
        RunHooks(
            events.append,
            checkpoint=lambda progress, metrics, *, is_served: checkpoints.append(progress.step),
            **hooks,
        ),
    )
    return events, checkpoints


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: not enough memory")],
)
def test_running_out_of_memory_twice_is_a_typed_error_with_advice(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path, error: Exception
) -> None:
    objective = FailingObjective(make_spec(), error, fails=lambda batch: True)
    with pytest.raises(TrainingFailed, match="smaller rank") as caught:
        train_directly(make_spec(), store, tmp_path, objective)
    assert caught.value.code == "out_of_memory"
    assert "on line" in caught.value.message


def test_what_the_allocator_of_a_cpu_raises_is_running_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: out of memory", 2),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        distributed.DistBackendError("unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'"),
    ],
)
def test_what_takes_memory_beside_torchs_allocator_runs_out_of_it_too(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_running_out_of_memory_elsewhere_is_typed_too() -> None:
    """In the optimizer's first step, for example."""
    with pytest.raises(TrainingFailed) as caught, typed_out_of_memory():
        raise torch.OutOfMemoryError("CUDA out of memory.")
    assert caught.value.code == "out_of_memory"
    with pytest.raises(RuntimeError, match="shapes"), typed_out_of_memory():
        raise RuntimeError("shapes differ")


def test_running_out_of_memory_once_halves_the_passes_and_changes_no_result(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    """Passes of more than 100 tokens do not fit, and a step has more than that."""
    spec = make_spec(type="full", microbatch_tokens=200, batch_size=8)
    error = torch.OutOfMemoryError("CUDA out of memory.")
    fits = FailingObjective(spec, error, fails=lambda batch: batch.token_ids.numel() > 100)
    never = FailingObjective(spec, error, fails=lambda batch: False)
    expected, _ = train_directly(spec, store, tmp_path, never)
    found, _ = train_directly(spec, store, tmp_path, fits)
    assert losses(found) == pytest.approx(losses(expected), abs=1e-5)
    messages = [event.message for event in found if isinstance(event, RunnerMessage)]
    assert len(messages) == 1
    assert "half as many tokens" in messages[0]


def losses(events: list[RunnerEvent]) -> list[float]:
    return [event.train_loss for event in events if isinstance(event, StepMetrics)]


def test_other_errors_of_a_model_do_not_count_as_out_of_memory(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    spec = make_spec()
    objective = FailingObjective(spec, RuntimeError("shapes differ"), fails=lambda batch: True)
    with pytest.raises(RuntimeError, match="shapes"):
        train_directly(spec, store, tmp_path, objective)


class PoisonedObjective(FailingObjective):
    """Gives one example a loss of NaN, or all."""

    poisons_all = False

    def forward(self, batch: Microbatch) -> Sums:
        sums = self._inner(batch)
        is_poisoned = (self.poisons_all or bool((batch.sequences == 13).any())) and len(batch.targets)
        return sums._replace(loss=sums.loss * float("nan")) if is_poisoned else sums


def test_an_example_that_poisons_the_loss_is_named_by_its_line(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    spec = make_spec(type="full", batch_size=21)
    objective = PoisonedObjective(spec, ValueError(), fails=lambda batch: False)
    before = copy.deepcopy(objective.model.state_dict())
    with pytest.raises(TrainingFailed, match=r"Line\(s\) 14 of the training file") as caught:
        train_directly(spec, store, tmp_path, objective)
    assert caught.value.code == "non_finite_loss"
    torch.testing.assert_close(objective.model.state_dict(), before, atol=0, rtol=0)


def test_the_search_for_poisoned_examples_shows_that_it_is_alive_and_ends_once_it_has_enough(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    objective = PoisonedObjective(make_spec(type="full"), ValueError(), fails=lambda batch: False)
    objective.poisons_all = True
    spec = make_spec(type="full", batch_size=21, microbatch_tokens=10_000)
    alive: list[None] = []
    twenty = ", ".join(map(str, range(1, 21)))
    with pytest.raises(TrainingFailed, match=rf"Line\(s\) {twenty} of the training file"):
        train_directly(spec, store, tmp_path, objective, heartbeat=lambda: alive.append(None))
    assert len(alive) == 1 + 20


def test_long_epochs_are_saved_in_between(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path, base: BaseSpec
) -> None:
    """The clock advances 40 seconds at every reading."""
    spec = make_spec(type="full", n_epochs=1, batch_size=1)
    ticks = itertools.count(step=40)
    objective = FailingObjective(spec, ValueError(), fails=lambda batch: False)
    _, saved = train_directly(spec, store, tmp_path, objective, clock=lambda: next(ticks))
    assert saved[-1] == 21
    assert len(saved) > 5
    assert max(later - earlier for earlier, later in itertools.pairwise([0, *saved])) <= 4
