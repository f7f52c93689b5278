"""Saves tuned weights as PEFT adapters."""

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


def contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def is_adapted(model: Any) -> bool:
    return causal_model(model) is not model
