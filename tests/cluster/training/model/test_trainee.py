"""Which activations a model keeps for its backward pass."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.model.trainee import resolve_activation_checkpointing, save_memory

GPU, CPU = torch.device("cuda"), torch.device("cpu")
PREFIX = {"type": "peft", "peft_config": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}}


class Model(torch.nn.Linear):
    """Has a billion parameters if `is_large`, and no memory."""

    config = type("Config", (), {"model_type": "plain"})

    def __init__(self, *, is_large: bool = True, is_supported: bool = True) -> None:
        width = 1 << 15 if is_large else 8
        super().__init__(width, width, device="meta")
        self.supports_gradient_checkpointing = is_supported


@pytest.mark.parametrize(
    ("model", "device", "change", "mode"),
    [
        (Model(), GPU, {}, "full"),
        (Model(), CPU, {}, "none"),
        (Model(is_large=False), GPU, {}, "none"),
        (Model(is_supported=False), GPU, {}, "none"),
        (Model(), GPU, PREFIX, "none"),
        (Model(is_large=False), CPU, {"activation_checkpointing": "offload"}, "offload"),
        (Model(), GPU, {"activation_checkpointing": "none"}, "none"),
    ],
)
def test_auto_is_resolved_by_size_device_and_family(
    make_config: Callable[..., TrainingConfig],
    model: Model,
    device: torch.device,
    change: dict[str, Any],
    mode: str,
) -> None:
    assert resolve_activation_checkpointing(model, make_config(**change), device).mode == mode


def test_the_owner_learns_that_a_large_model_keeps_its_activations(
    make_config: Callable[..., TrainingConfig],
) -> None:
    resolved = resolve_activation_checkpointing(Model(is_supported=False), make_config(), GPU)
    assert resolved.note == "Activations are kept: this model cannot compute them again."


def test_an_unsupported_choice_is_refused(make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(activation_checkpointing="full")
    with pytest.raises(TrainingFailed) as caught:
        resolve_activation_checkpointing(Model(is_supported=False), config, CPU)
    assert caught.value.param == "training.activation_checkpointing"


@pytest.mark.parametrize("name", ["activation_checkpointing_enable", "gradient_checkpointing_enable"])
def test_activations_are_recomputed_with_old_and_new_releases_of_transformers(name: str) -> None:
    calls: list[dict[str, Any]] = []
    model = Model()
    setattr(model, name, lambda options, **_: calls.append(options))
    save_memory(model, "none", GPU)
    save_memory(model, "full", GPU)
    assert calls == [{"use_reentrant": False}]
