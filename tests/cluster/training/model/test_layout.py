"""Checks of what a model can do: an ability that it lacks is expected, a check that breaks is reported."""

import logging
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from cluster.training.model.layout import check_layout

SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


class Breaks(LlamaForCausalLM):
    """Raises `error` when examples share a row."""

    error: Exception

    def forward(self, *args: Any, **options: Any) -> Any:
        if "segments" in options:
            raise self.error
        return super().forward(*args, **options)


def model(error: Exception) -> Any:
    torch.manual_seed(0)
    made = Breaks(LlamaConfig(**SIZES, initializer_range=0.2))
    made.error = error
    return made


def test_an_error_that_no_check_expects_is_logged_and_told_to_the_owner(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        found = check_layout(model(RuntimeError("no kernel image is available")), packing=True)
    assert found.layout == "padded"
    assert found.notes == ["Examples are padded, not packed: the check failed unexpectedly (RuntimeError)."]
    assert "no kernel image is available" in caplog.text
    assert found.head.is_apart


@pytest.mark.parametrize(
    "error", [NotImplementedError("sinks"), TypeError("forward() got an unexpected argument 'segments'")]
)
def test_an_ability_that_the_family_lacks_is_no_error(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    found = check_layout(model(error), packing=True)
    assert found.layout == "padded"
    assert found.notes == [
        "Examples are padded, not packed: models of type llama mix up examples that share a row."
    ]
    assert not caplog.records
