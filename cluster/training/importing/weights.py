"""Reads a tenant's adapter_model.safetensors, and checks it against the base that it was made for."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cluster.contracts.adapter_layers import BaseLayers
from cluster.contracts.errors import InvalidRequest
from cluster.training.importing.config import AdapterConfig

_NAME = re.compile(r"base_model\.model\.([A-Za-z0-9_.-]{1,200})\.lora_([AB])\.weight")
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_MAX_TENSORS = 20_000


def read_weights(path: Path, config: AdapterConfig, layers: BaseLayers) -> dict[str, Tensor]:
    """Returns the adapter's tensors by PEFT's names, sorted.

    Raises InvalidRequest (`invalid_adapter`) for a file that is not safetensors, and for tensors that are not
    a LoRA of the base: other names, layers, shapes, types or ranks, or numbers that are not finite."""
    tensors = _read(path)
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        found = _NAME.fullmatch(name)
        if found is None:
            raise _invalid(f"it holds {name[:200]!r}, which is no LoRA weight of a layer")
        halves.setdefault(found[1], {})[found[2]] = tensor
    if not halves:
        raise _invalid("it holds no weights")
    for layer, half in halves.items():
        if half.keys() != {"A", "B"}:
            raise _invalid(f"layer {layer} has only one of lora_A and lora_B")
        _check_pair(layer, half["A"], half["B"], config, layers)
    return tensors


def layers_of(tensors: Mapping[str, Tensor]) -> list[str]:
    """Returns the full names of the layers that the tensors adapt, sorted."""
    return sorted({found[1] for name in tensors if (found := _NAME.fullmatch(name))})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            names = sorted(file.keys())
            if len(names) > _MAX_TENSORS:
                raise _invalid(f"it holds {len(names)} tensors; at most {_MAX_TENSORS} are read")
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _invalid("it is not a safetensors file") from error


def _check_pair(layer: str, wide: Tensor, tall: Tensor, config: AdapterConfig, layers: BaseLayers) -> None:
    if not (wide.ndim == tall.ndim == 2 and wide.shape[0] == tall.shape[1]):
        raise _invalid(f"layer {layer} has weights of shapes {list(wide.shape)} and {list(tall.shape)}")
    if wide.dtype not in _DTYPES or tall.dtype not in _DTYPES:
        raise _invalid(f"layer {layer} is not in float32, float16 or bfloat16")
    rank, expected = wide.shape[0], config.rank_of(layer)
    if rank != expected:
        raise _invalid(f"layer {layer} has rank {rank}, and adapter_config.json says {expected}")
    # Some families store their weights transposed. The engine, which knows the layers, checks it again.
    shape = layers.shapes.get(layer)
    given = (tall.shape[0], wide.shape[1])
    if shape is not None and len(shape) == 2 and given not in (shape, shape[::-1]):
        raise _invalid(f"layer {layer} is for a weight of shape {list(given)}; the base has {list(shape)}")
    if not (wide.isfinite().all() and tall.isfinite().all()):
        raise _invalid(f"layer {layer} holds numbers that are not finite")


def _invalid(problem: str) -> InvalidRequest:
    return InvalidRequest(
        f"adapter_model.safetensors cannot be used: {problem}.", code="invalid_adapter", param="files"
    )
