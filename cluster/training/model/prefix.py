"""Exports virtual tokens for serving, as the keys and values that they leave in the base's KV cache."""

from typing import Any

import torch
from torch import Tensor

_KEYS_AND_VALUES = frozenset({"PREFIX_TUNING"})
"""Methods that learn the contents of the KV cache directly. The others learn embeddings."""


@torch.no_grad()
def prefix_states(peft_model: Any) -> dict[str, Tensor]:
    """Returns the contents of `prefix.safetensors`: the keys and values that the P virtual tokens of a
    prefix-, prompt- or P-tuned `peft_model` leave in the KV cache before a prompt.

    These are `keys.<layer>` and `values.<layer>` for each layer of the base, float32 [heads, P, head
    dimension], on the CPU. Restores the model's mode.
    """
    is_training = peft_model.training
    peft_model.eval()
    if peft_model.active_peft_config.peft_type in _KEYS_AND_VALUES:
        cache = peft_model.get_prompt(batch_size=1)
    else:
        cache = _prefill(peft_model, peft_model.get_prompt(batch_size=1))
    peft_model.train(is_training)
    # Copies, because expanded heads share memory, which safetensors refuses.
    return {
        f"{half}.{place}": states[0].float().cpu().contiguous().clone()
        for place, layer in enumerate(cache.layers)
        for half, states in (("keys", layer.keys), ("values", layer.values))
    }


def _prefill(peft_model: Any, embeddings_1PD: Tensor) -> Any:
    """Returns the KV cache after the embeddings of the virtual tokens have passed through the base."""
    # Imported here because it takes seconds, and not every process that imports this file trains.
    from transformers import DynamicCache

    base = peft_model.get_base_model()
    # Without the configuration, layers keep all tokens, however small their window is.
    cache = DynamicCache()
    base(
        inputs_embeds=embeddings_1PD.to(base.get_input_embeddings().weight.dtype),
        past_key_values=cache,
        use_cache=True,
    )
    return cache
