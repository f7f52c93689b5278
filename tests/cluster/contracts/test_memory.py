"""The memory plan counts what the base's layers say."""

import pytest

from cluster.bases.layers import read_layers
from cluster.bases.resolve import local_folder
from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, resolve
from cluster.contracts.memory import MemoryPlan, memory_plan

SOURCE = BuiltinSource(name="tiny")
BASE = BaseSpec(
    alias="tiny",
    source=SOURCE,
    context_length=512,
    learning_rates={"lora": 1e-3, "full": 1e-4},
    dtype="bfloat16",
)
LORA = 16 * 6 * (4 * (256 + 256) + 3 * (256 + 704))
"""Parameters: rank x blocks x (attention, feed-forward)."""
STORED = (local_folder(SOURCE) / "model.safetensors").stat().st_size
"""In bfloat16, with a header of some kilobytes."""


def plan(**options: object) -> MemoryPlan:
    training = TrainingOptions.model_validate(options)
    _, config = resolve(Hyperparameters(), training, BASE, n_examples=100, seed=1)
    found = memory_plan(BASE, read_layers(local_folder(SOURCE)), config, longest=100)
    assert found is not None
    return found


def test_lora_trains_its_adapter_beside_frozen_weights() -> None:
    found = plan()
    assert found.weights == pytest.approx(STORED, rel=0.01)
    assert (found.trained, found.gradients, found.optimizer) == (4 * LORA, 4 * LORA, 8 * LORA)
    assert plan(optimizer="adamw_8bit").optimizer == 2 * LORA
    assert plan(target_modules=["q_proj"]).trained == 4 * 16 * 6 * 512


def test_a_full_fine_tune_has_moments_of_every_weight_and_shares_them_between_workers() -> None:
    found = plan(type="full")
    assert (found.weights, found.trained) == (pytest.approx(2 * STORED, rel=0.01), 0)
    assert found.optimizer == 2 * found.gradients == 2 * found.weights
    shared = plan(type="full", num_workers=4)
    assert shared.weights == pytest.approx(found.weights / 4, rel=0.01)


def test_qlora_holds_the_linear_layers_in_four_bits() -> None:
    assert plan(type="qlora").weights < 0.4 * plan().weights


def test_recomputing_activations_takes_less_memory() -> None:
    assert plan(activation_checkpointing="full").activations < 0.5 * plan().activations


def test_what_cannot_be_calculated_is_not_guessed() -> None:
    training = TrainingOptions(type="peft", peft_config={"peft_type": "LOHA", "r": 4})
    _, config = resolve(Hyperparameters(), training, BASE, n_examples=100, seed=1)
    assert memory_plan(BASE, read_layers(local_folder(SOURCE)), config, longest=100) is None
