"""Learned prefixes: the keys and values of virtual tokens before every prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cluster.contracts.errors import CorruptArtefact, InvalidRequest
from cluster.serving.weights.adapter import Adapter, Prefix


def begin(cache: Any, adapter: Adapter | None, *, rows: int, dtype: torch.dtype) -> None:
    """Puts the adapter's prefix, if it has one, into every row of an empty transformers cache."""
    if adapter is None or adapter.prefix is None:
        return
    for layer, states in enumerate(zip(adapter.prefix.keys, adapter.prefix.values, strict=True)):
        keys, values = (tensor.to(dtype).expand(rows, -1, -1, -1) for tensor in states)
        cache.update(keys, values, layer)


def read_prefix(
    folder: Path, digest: str, layers: Sequence[tuple[int, int, int]], device: torch.device
) -> Adapter:
    """Reads the adapter in `prefix.safetensors` in `folder` onto `device`. `layers` are the base's (heads,
    key dimension, value dimension).

    Raises InvalidRequest for a prefix of another shape, and CorruptArtefact for a file that cannot be read or
    holds numbers that are not finite.
    """
    try:
        tensors = load_file(folder / "prefix.safetensors")
    except (SafetensorError, OSError) as error:
        raise CorruptArtefact(f"The prefix cannot be read: {error}") from error
    wanted = {f"{half}.{layer}" for half in ("keys", "values") for layer in range(len(layers))}
    if tensors.keys() != wanted:
        raise InvalidRequest(
            f"The prefix holds {len(tensors)} tensors; this base needs keys and values of each of its "
            f"{len(layers)} layers.",
            param="model",
        )
    length = tensors["keys.0"].shape[1] if tensors["keys.0"].ndim == 3 else 0
    keys, values = [], []
    for layer, (heads, key_width, value_width) in enumerate(layers):
        keys.append(_checked(tensors, f"keys.{layer}", (heads, length, key_width), device))
        values.append(_checked(tensors, f"values.{layer}", (heads, length, value_width), device))
    return Adapter(digest, prefix=Prefix(keys, values))


def _checked(
    tensors: dict[str, Tensor], name: str, shape: tuple[int, int, int], device: torch.device
) -> Tensor:
    tensor = tensors[name]
    if tuple(tensor.shape) != shape or 0 in shape:
        raise InvalidRequest(
            f"{name} of the prefix is {tuple(tensor.shape)}; this base needs {shape}.", param="model"
        )
    if not bool(tensor.isfinite().all()):
        raise CorruptArtefact(f"{name} of the prefix holds numbers that are not finite.")
    return tensor.to(device)
