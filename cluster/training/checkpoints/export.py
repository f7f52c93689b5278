"""Saves tuned weights as PEFT adapters and transformers folders."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from cluster.training.model.head import causal_model

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def save_adapter(model: Any, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Writes PEFT's adapter_config.json and adapter_model.safetensors. `model` is PEFT's wrapper; `weights`
    are its parameters' values by name."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, state_dict=dict(weights), save_embedding_layers=False)
    save_file(contiguous(state), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config["default"]
    config.inference_mode = True
    config.save_pretrained(folder)
    config.inference_mode = False


def save_full(model: Any, weights: Mapping[str, Tensor], tokenizer: Any, dtype: str, folder: Path) -> None:
    """Writes a transformers folder with these named weights in `dtype`."""
    state = {
        name: value.to(DTYPES[dtype]) if value.is_floating_point() else value
        for name, value in weights.items()
    }
    model.save_pretrained(folder, state_dict=state)
    config_path = folder / "config.json"
    config_path.write_text(json.dumps({**json.loads(config_path.read_text()), "dtype": dtype}, indent=2))
    tokenizer.save_pretrained(folder)


def merge(adapted: Any, tokenizer: Any, dtype: str, folder: Path) -> None:
    """Merges an adapter into its base and writes the result as a transformers folder. `adapted` is PEFT's
    wrapper of a base in fp32 and cannot be used afterwards. Rounds once, when the result is stored in
    `dtype`.

    Raises ValueError for a base in 4 bits, whose quantization steps are larger than most of an adapter's
    changes.
    """
    if getattr(adapted.get_base_model(), "is_quantized", False):
        raise ValueError("An adapter is merged into the base's full precision, never into 4 bits.")
    merged = adapted.merge_and_unload()
    save_full(merged, distinct_state(merged), tokenizer, dtype, folder)


def distinct_state(model: torch.nn.Module) -> dict[str, Tensor]:
    """The model's state by name. A weight that two names share appears only under the first one."""
    seen: set[int] = set()
    state = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            state[name] = value
    return state


def contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def is_adapted(model: Any) -> bool:
    return causal_model(model) is not model
