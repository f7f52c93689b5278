"""Losses and gradients of the families that are not put together in Llama's way are those of transformers and
PEFT, whose models run each example by itself."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Dataset
from cluster.training.loop.objectives import LanguageObjective, PreferenceObjective
from cluster.training.model.trainee import load_trainee, trainable_parameters
from tests.families import make_family
from tests.family_support import BYPASSED, EXPERTS, PADDED, excluded
from tests.tiers import sampled

pytestmark = [
    pytest.mark.slow,
    # PEFT names the experts' weights in its own rank pattern and then warns that they are no modules.
    pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys:RuntimeWarning"),
]

UNUSUAL = sorted((EXPERTS | PADDED | {"gemma3n", "gemma4"}) - {"falcon", "falcon_new"})
CPU = torch.device("cpu")
LENGTHS = [30, 9, 22, 41]


@pytest.fixture
def data() -> Dataset:
    total = sum(LENGTHS)
    return Dataset(
        format="preference",
        token_ids=np.random.default_rng(0).integers(0, 352, total, dtype=np.int32),
        mask=np.arange(total) % 3 == 0,
        offsets=np.cumsum([0, *LENGTHS]),
        lines=np.arange(2, dtype=np.int32),
        truncated_lines=[],
        dropped_lines=[],
    )


@torch.no_grad()
def shake(model: Any) -> None:
    """Gives adapters values: new ones add nothing, and learn half as much."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in sorted(trainable_parameters(model).items()):
        if "lora_" in name:
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))


def reference(folder: Path, type_: str) -> Any:
    options: dict[str, Any] = {}
    if type_ == "qlora":
        # By default, transformers keeps the head, and whatever is last.
        bypassed = [f"(.*\\.)?{name}" for name in BYPASSED.get(folder.name, [])]
        whole = ["lm_head", "altup_unembed_projections.2", *bypassed]
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
            llm_int8_skip_modules=whole,
        )
    # Transformers' eager Falcon adds the position biases twice.
    kind = None if folder.name == "falcon_alibi" else "eager"
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=kind, **options
    )
    if type_ != "full":
        left_out = excluded(folder.name)
        adapter = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", exclude_modules=left_out)
        model = get_peft_model(model, adapter)
        shake(model)
    return model.train()


def logprobs(model: Any, data: Dataset) -> list[Tensor]:
    """Of the learned tokens of each sequence."""
    found = []
    for begin, end in zip(data.offsets, data.offsets[1:], strict=False):
        tokens = torch.from_numpy(data.token_ids[begin:end]).long()[None]
        scores = model(input_ids=tokens, use_cache=False).logits[0, :-1].float().log_softmax(-1)
        found.append(scores.gather(-1, tokens[0, 1:, None])[torch.from_numpy(data.mask[begin + 1 : end]), 0])
    return found


@pytest.mark.parametrize(
    ("family", "type_"),
    sampled(
        itertools.product(UNUSUAL, ("lora", "qlora", "full")),
        [(family, "lora") for family in UNUSUAL] + [("qwen3_moe", "qlora"), ("jamba", "full")],
    ),
)
def test_losses_and_gradients_are_the_librarys(
    family: str, type_: str, data: Dataset, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    base = make_family(family, tmp_path / family)
    config = make_config(type=type_, max_length=128, packing=True)
    trainee = load_trainee(tmp_path / family, base, config, CPU, data=data, total_steps=10)
    shake(trainee.model)
    trainee.model.train()
    batcher = Batcher(data, microbatch_tokens=256, layout=trainee.layout)
    batches = list(batcher.microbatches(batcher.all_examples()))
    learned = trainable_parameters(trainee.model)
    sums = [LanguageObjective(trainee.model, trainee.head)(batch) for batch in batches]
    loss = sum((each.loss for each in sums), torch.zeros(()))
    loss.backward()

    library = reference(tmp_path / family, type_)
    expected = -torch.cat(logprobs(library, data)).sum()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-3)
    gradients = {name: weight.grad for name, weight in trainable_parameters(library).items()}
    for name, weight in learned.items():
        assert weight.grad is not None, f"{name} learns nothing"
        assert weight.grad.any() or "experts" in name, f"{name} learns nothing"
        torch.testing.assert_close(weight.grad, gradients[name], rtol=1e-3, atol=2e-3, msg=name)
    if type_ == "lora":
        assert_preferences(trainee, library, batches, data)


@torch.no_grad()
def assert_preferences(trainee: Any, library: Any, batches: list[Any], data: Dataset) -> None:
    scores = torch.stack([each.sum() for each in logprobs(library, data)])
    before = torch.tensor([-3.0, -1.0, -2.0, -4.0])
    gains = scores - before
    expected = -functional.logsigmoid(0.1 * (gains[0::2] - gains[1::2])).sum()
    objective = PreferenceObjective(trainee.model, trainee.head, beta=0.1)
    batches = [replace(batch, reference=before[batch.sequences]) for batch in batches]
    found = sum((objective(batch).loss for batch in batches), torch.zeros(()))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_an_adapter_that_would_learn_nothing_is_refused(
    data: Dataset, make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    base = make_family("granitemoehybrid", tmp_path)
    config = make_config(target_modules=["q_proj", "out_proj"], max_length=128)
    with pytest.raises(TrainingFailed, match=r"layers\.0\.mamba\.out_proj would learn nothing") as refused:
        load_trainee(tmp_path, base, config, CPU, data=data, total_steps=10)
    assert refused.value.code == "invalid_target_modules"
