"""Merges a LoRA adapter into its base's weights, if the result computes the same as the base with the adapter
applied separately."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from cluster.contracts.errors import InvalidRequest
from cluster.serving.embedded.lora.adapted_model import AdaptedModel
from cluster.serving.embedded.parity_check import error_between, tolerance
from cluster.serving.weights.adapter import Adapter

_LENGTH = 48
"""Number of random tokens on which the two are compared."""

ReadAdapter = Callable[[Mapping[str, tuple[int, int]]], Adapter]
"""Takes the (in, out) of the linear layers by name, and returns the adapter."""


@torch.inference_mode()
def merged_model(load: Callable[[], Any], read_adapter: ReadAdapter) -> Any:
    """Returns the model of `load` with the adapter merged into its weights. Sums are computed in float32 and
    rounded once to the weights' type. Loads the model twice, one after the other.

    Raises InvalidRequest (`not_mergeable`) if the logits then differ by more than rounding explains, and what
    `read_adapter` raises.
    """
    beside = AdaptedModel(load())
    adapter = read_adapter(beside.shapes)
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(1, beside.num_embeddings, (1, _LENGTH), generator=generator).tolist()
    expected = beside.forward(text, [adapter], use_cache=False)[0]
    beside.forget()
    del beside
    model = load()
    for name, pair in adapter.pairs.items():
        layer = model.get_submodule(name)
        weight = layer.weight.data
        weight.copy_(pair.added_to(weight, is_transposed=isinstance(layer, Conv1D)))
    found = model(input_ids=torch.tensor(text, device=model.device), use_cache=False).logits[0].float()
    error = error_between(found, expected)
    # Written so that NaN also fails.
    if not error <= (limit := tolerance(model.dtype)):
        raise InvalidRequest(
            f"The adapter {adapter.digest} cannot be merged: its logits would differ by {error:.2g} standard "
            f"deviations, and rounding explains {limit:g}.",
            code="not_mergeable",
            param="model",
        )
    return model
