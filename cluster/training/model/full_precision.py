"""Makes a model in 4 bits compute with full-precision weights, as serving has them. Only one layer's weights
are in memory at a time. They are read from the base's files whenever the layer runs, once for all passes in
flight."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from cluster.bases.configs import weight_files
from cluster.bases.pretrained import LOADING, read_config
from cluster.contracts.errors import CorruptArtefact
from cluster.training.model.head import causal_model
from cluster.training.model.interleaving import Interleaving


@contextmanager
def in_full_precision(
    model: Any, folder: Path, dtype: torch.dtype, interleaving: Interleaving = Interleaving()
) -> Iterator[None]:
    """Within the context, the layers in 4 bits compute with the weights of the transformers model in
    `folder`, rounded to `dtype`. Adapters are applied as before. `model` may be PEFT's wrapper, and may have
    no such layer. Passes that `interleaving` runs share what is read. Raises CorruptArtefact if a weight is
    not in the files."""
    layers = _layers_in_four_bits(causal_model(model))
    files = BaseFiles(folder) if layers else None
    for name, layer in layers.items():
        assert files is not None
        layer.forward = partial(_forward, layer, f"{name}.weight", files, dtype, interleaving)
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.forward


class BaseFiles:
    """The weights in a folder, by the names that the model uses for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}
        for path in weight_files(folder):
            file: Any = safe_open(path, framework="pt")
            self._files |= dict.fromkeys(file.keys(), file)
        self._names: dict[str, str] = {}

    def read(self, name: str) -> Tensor:
        key = self._names.get(name) or self._names.setdefault(name, self._key(name))
        tensor: Tensor = self._files[key].get_tensor(key)
        return tensor

    def _key(self, name: str) -> str:
        found = next((key for key in self._candidates(name) if key in self._files), None)
        if found is None:
            raise CorruptArtefact(f"The files in {self._folder.name} lack the weights {name}.")
        return found

    def _candidates(self, name: str) -> Iterator[str]:
        """Yields the names under which the files may have a weight. Families and releases of transformers
        differ in prefixes."""
        from transformers import AutoModelForCausalLM
        from transformers.core_model_loading import revert_weight_conversion

        yield name
        with LOADING, torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(read_config(self._folder))
        yield name.removeprefix(f"{empty.base_model_prefix}.")
        yield from revert_weight_conversion(empty, {name: empty.get_parameter(name)})


def _layers_in_four_bits(model: Any) -> dict[str, Any]:
    """Returns layers by the names that they have without adapters."""
    layers = {name: module for name, module in model.named_modules() if is_in_four_bits(module)}
    return {name.removesuffix(".base_layer"): layer for name, layer in layers.items()}


def is_in_four_bits(module: torch.nn.Module) -> bool:
    # Recognised by an attribute of its weight: few processes need bitsandbytes, whose import takes seconds.
    return getattr(getattr(module, "weight", None), "quant_state", None) is not None


def _forward(
    layer: Any, name: str, files: BaseFiles, dtype: torch.dtype, interleaving: Interleaving, x: Tensor
) -> Tensor:
    weight = interleaving.shared(name, lambda: files.read(name).to(x.device, dtype))
    bias = None if layer.bias is None else layer.bias.to(dtype)
    return functional.linear(x.to(dtype), weight, bias)
