"""Writes a LoRA adapter in a plain form that every reader of PEFT's format understands."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from cluster.serving.weights.adapter import Adapter


def rank_of(adapter: Adapter) -> int:
    """Returns the largest rank of the adapter's layers."""
    return max(pair.rank for pair in adapter.pairs.values())


def write_plain(adapter: Adapter, folder: Path, dtype: torch.dtype) -> int:
    """Saves `adapter` into the new `folder`, and returns the bytes of its tensors. `dtype` is the base's, to
    which vLLM rounds the tensors when it reads them. The scales are folded into the weights and alpha equals
    the rank, because vLLM uses one scale for all layers and silently ignores rank and alpha patterns."""
    folder.mkdir(parents=True)
    tensors = {}
    for name, pair in adapter.pairs.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = pair.down.to(dtype)
        tensors[f"base_model.model.{name}.lora_B.weight"] = pair.up.T.contiguous().to(dtype)
    save_file(tensors, folder / "adapter_model.safetensors")
    rank = rank_of(adapter)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        # Written for readers that create the layers before they read the weights.
        "rank_pattern": {name: pair.rank for name, pair in adapter.pairs.items()},
        "alpha_pattern": {name: pair.rank for name, pair in adapter.pairs.items()},
        "target_modules": sorted(adapter.pairs),
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return sum(tensor.nbytes for tensor in tensors.values())
