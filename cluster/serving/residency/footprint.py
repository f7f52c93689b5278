"""The memory that a model uses: estimated from its files, and measured once it is loaded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from cluster.serving.fairness.reserved_slots import most_slots, reserved_slots
from cluster.serving.weights.packed_linear import PackedLinear, packs

_FLOATS = {"F64", "F32", "F16", "BF16"}
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
"""Bytes per element by safetensors' name of the type; 1 for any other type."""


@dataclass(frozen=True)
class Footprint:
    """Memory of one model, in bytes."""

    weights: int
    row: int
    """Keys and values of one slot with a full context."""
    adapters: int
    """Memory that all adapters together may use."""

    def slots_within(self, budget: int | None, *, wanted: int) -> int:
        """Returns the number of slots that fit into `budget` beside weights and adapters: at most `wanted`,
        at least 1."""
        if budget is None or self.total(wanted) <= budget or not self.row:
            return wanted
        return max(1, most_slots((budget - self.weights - self.adapters) // self.row - 1))

    def cache(self, slots: int) -> int:
        """Returns the bytes of the KV cache when every context is full, including the reserved slots and one
        more row that is being prefilled."""
        return (slots + reserved_slots(slots) + 1) * self.row

    def total(self, slots: int) -> int:
        return self.weights + self.adapters + self.cache(slots)


def stored_bytes(folder: Path, config: Any, dtype: torch.dtype, device: torch.device) -> int:
    """Returns the memory that the weights in `folder` use once they are loaded in `dtype` on `device`."""
    total = sum(_tensors_bytes(path, dtype.itemsize) for path in _weight_files(folder))
    text = config.get_text_config()
    if config.tie_word_embeddings and packs(dtype, device):
        # The head is repacked into a copy, and the embedding stays.
        total += text.vocab_size * text.hidden_size * dtype.itemsize
    return total


def token_bytes(config: Any, dtype: torch.dtype) -> int:
    """Returns the bytes of one token's keys and values in all layers, according to the configuration."""
    text = config.get_text_config()
    layers = getattr(text, "per_layer_config", None) or [text] * text.num_hidden_layers
    kept = zip(DynamicCache(config=text).layers, layers, strict=False)
    # Layers that carry a state of a fixed size, or reuse what earlier layers cached, keep nothing per token.
    return sum(_width(layer) for cache, layer in kept if isinstance(cache, DynamicLayer)) * dtype.itemsize


def _width(layer: Any) -> int:
    """Returns how many numbers a layer keeps per token."""
    if (latent := getattr(layer, "kv_lora_rank", None)) is not None:
        return int(latent + layer.qk_rope_head_dim)
    queries = layer.num_attention_heads
    heads = getattr(layer, "num_key_value_heads", None) or queries
    # Falcon's name for it. Its newer models keep one copy for each query head.
    if getattr(layer, "multi_query", False) and not getattr(layer, "new_decoder_architecture", False):
        heads = 1
    return int(2 * heads * (getattr(layer, "head_dim", None) or layer.hidden_size // queries))


def kept_bytes(states: Sequence[tuple[int, int, int]], dtype: torch.dtype) -> int:
    """Returns the bytes of one token's keys and values in all layers, according to `AdaptedModel.states`."""
    return sum(heads * (keys + values) for heads, keys, values in states) * dtype.itemsize


def loaded_bytes(model: nn.Module) -> int:
    """Returns the memory of a model's weights."""
    packed = sum(module.num_bytes for module in model.modules() if isinstance(module, PackedLinear))
    return packed + sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def _weight_files(folder: Path) -> set[Path]:
    """Returns the files that transformers loads. Some models also ship the same weights in another layout."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return {folder / name for name in json.loads(index.read_text())["weight_map"].values()}
    whole = folder / "model.safetensors"
    return {whole} if whole.is_file() else set(folder.glob("*.safetensors"))


def _tensors_bytes(path: Path, itemsize: int) -> int:
    total = 0
    with safe_open(path, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118  # Not a mapping.
            tensor = tensors.get_slice(name)
            kind = tensor.get_dtype()
            size = itemsize if kind in _FLOATS else _BYTES.get(kind, 1)
            total += prod(tensor.get_shape()) * size
    return total
