"""A base's tensors with a LoRA adapter merged into them. Each is merged when it is read."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cluster.bases.four_bits import layers_in_four_bits, rounded_to_four_bits
from cluster.bases.pretrained import LOADING, read_config
from cluster.contracts.adapter_layers import in_block
from cluster.exporting.tensors import DTYPES, StoredTensors, TensorInfo, Tensors, not_available
from cluster.serving.weights.adapter import LoraPair
from cluster.serving.weights.lora_files import read_adapter

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer of the base."""

    tensor: str
    """Name of its weight among the base's tensors."""
    is_transposed: bool
    """Whether the weight is [in, out], as in GPT-2."""


class MergedTensors:
    """The tensors of a base in the type in which it is trained and served, with an adapter's updates added in
    float32 and rounded once to that type."""

    def __init__(
        self,
        base: Tensors,
        layers: Mapping[str, Layer],
        pairs: Mapping[str, LoraPair],
        *,
        dtype: torch.dtype,
        four_bits: frozenset[str] = frozenset(),
    ) -> None:
        """`pairs` are the updates by layer. The layers in `four_bits` are first rounded to 4 bits and
        dequantized."""
        self.infos = {name: _in_type(info, dtype) for name, info in base.infos.items()}
        self._base = base
        self._layers = {layers[name].tensor: layers[name] for name in {*pairs, *four_bits}}
        self._pairs = {layers[name].tensor: pair for name, pair in pairs.items()}
        self._four_bits = {layers[name].tensor for name in four_bits}
        self._dtype = dtype

    def read(self, name: str) -> Tensor:
        weight = self._base.read(name)
        if weight.is_floating_point():
            weight = weight.to(self._dtype)
        if (layer := self._layers.get(name)) is None:
            return weight
        if name in self._four_bits:
            weight = _rounded(weight, layer)
        if (pair := self._pairs.get(name)) is not None:
            weight = pair.added_to(weight, is_transposed=layer.is_transposed)
        return weight


def merged_tensors(base: Path, adapter: Path, *, is_quantized: bool, dtype: torch.dtype) -> MergedTensors:
    """Merges the PEFT folder `adapter` into the base as it is in `dtype`, and with `is_quantized` also in 4
    bits.

    Raises InvalidRequest (`format_not_available`) if a layer's weight is not stored as one tensor, and what
    `read_adapter` raises."""
    tensors = StoredTensors(base)
    empty = _without_weights(base, dtype)
    layers = _layers(empty, tensors)
    shapes = {name: _in_and_out(layer, tensors) for name, layer in layers.items()}
    pairs = read_adapter(adapter, "", shapes, _CPU).pairs
    four_bits = layers_in_four_bits(empty) if is_quantized else frozenset[str]()
    if unknown := sorted(four_bits - layers.keys()):
        raise not_available(f"its layer {unknown[0]} is not stored as a tensor of its own")
    return MergedTensors(tensors, layers, pairs, dtype=dtype, four_bits=four_bits)


def _without_weights(folder: Path, dtype: torch.dtype) -> Any:
    config = read_config(folder)
    with LOADING, torch.device("meta"):
        # Imported here because it takes seconds.
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)


def _layers(model: Any, tensors: Tensors) -> dict[str, Layer]:
    """Returns the linear layers whose weights are stored, by name. Some folders leave out the name of the
    part that contains all layers but the head, or use another name for it. Then the blocks show to which
    layer a name belongs and, if image towers also have blocks, the other parts that the names have in
    common."""
    from transformers.pytorch_utils import Conv1D

    found = {}
    by_block: dict[str, list[str]] = defaultdict(list)
    for stored in tensors.infos:
        if (block := in_block(stored)) is not None:
            by_block[block].append(stored)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            weight = f"{name}.weight"
            short = weight.removeprefix(f"{model.base_model_prefix}.")
            in_blocks = by_block.get(in_block(weight) or "", [])
            alike = sorted(in_blocks, key=partial(_parts_in_common, weight), reverse=True)
            for stored in (weight, short, *alike):
                shape = tensors.infos[stored].shape if stored in tensors.infos else None
                if shape == tuple(module.weight.shape):
                    found[name] = Layer(stored, isinstance(module, Conv1D))
                    break
    return found


def _parts_in_common(one: str, other: str) -> int:
    return len({*one.split(".")} & {*other.split(".")})


def _in_type(info: TensorInfo, dtype: torch.dtype) -> TensorInfo:
    if not DTYPES[info.dtype].is_floating_point:
        return info
    return TensorInfo(info.shape, next(name for name, one in DTYPES.items() if one == dtype))


def _in_and_out(layer: Layer, tensors: Tensors) -> tuple[int, int]:
    one, other = tensors.infos[layer.tensor].shape
    return (one, other) if layer.is_transposed else (other, one)


def _rounded(weight: Tensor, layer: Layer) -> Tensor:
    if not layer.is_transposed:
        return rounded_to_four_bits(weight)
    return rounded_to_four_bits(weight.T.contiguous()).T
