"""A model with its adapter merged into its weights, as it is stored and served.

One layer at a time is merged, on a copy: merging into the model itself and then unmerging would change it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from cluster.training.model.full_precision import BaseFiles, is_in_four_bits
from cluster.training.model.head import causal_model
from cluster.training.model.interleaving import Interleaving
from cluster.training.world import whole

ReadWeight = Callable[[str, nn.Module], Tensor]
"""Returns the weight of a layer in 4 bits, by its name without adapters and the layer."""


def weight_from(files: BaseFiles | None) -> ReadWeight:
    """Returns a function that reads the weight from the base's files or, without files, dequantizes it."""

    def read(name: str, layer: Any) -> Tensor:
        if files is not None:
            return files.read(f"{name}.weight").to(layer.weight.device)
        from bitsandbytes.functional import dequantize_4bit

        found: Tensor = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        return found

    return read


@torch.no_grad()
def merged_layer(name: str, layer: Any, read: ReadWeight) -> dict[str, Tensor]:
    """Returns the weights of an adapted layer in fp32, with the adapter merged into them. Workers that share
    the model call this together."""
    base = layer.get_base_layer()
    if is_in_four_bits(base):
        weight = read(name, base).float()
        for adapter in layer.active_adapters:
            weight = weight + layer.get_delta_weight(adapter).float()
        return {"weight": weight} | ({} if base.bias is None else {"bias": base.bias.float()})
    copies: dict[int, Any] = {
        id(parameter): nn.Parameter(
            whole(parameter).detach().to(torch.float32, copy=True), requires_grad=False
        )
        for parameter in layer.parameters()
    }
    if "forward" in vars(layer):
        copies[id(layer.forward)] = None
    twin = deepcopy(layer, copies)
    twin.merge()
    return {each: parameter.data for each, parameter in twin.get_base_layer().named_parameters()}


@contextmanager
def as_merged(
    model: Any, dtype: torch.dtype, read: ReadWeight, interleaving: Interleaving = Interleaving()
) -> Iterator[None]:
    """Within the context, the model computes as its merged weights do once they are rounded to `dtype`.
    Passes that `interleaving` runs share what is merged."""
    named = causal_model(model).named_modules()
    layers: dict[str, Any] = {name: module for name, module in named if _is_adapted(module)}
    for name, layer in layers.items():
        layer.forward = partial(_forward, name, layer, dtype, read, interleaving)
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.forward


class Stored(NamedTuple):
    """A weight of a model in the form in which it is stored."""

    like: Tensor
    """Tensor of the same shape and type."""
    read: Callable[[], Tensor]
    """Returns the whole weight. Workers that share the model call this together."""


def stored_state(model: Any, read: ReadWeight) -> dict[str, Stored]:
    """Returns the weights of a transformers model by name, each once, with the adapter merged into them if
    `model` is PEFT's wrapper. Read the weights in their order, because only one adapted layer is merged at a
    time."""
    found: dict[str, Stored] = {}
    seen: set[int] = set()
    for name, like, whole_of in _weights("", causal_model(model), _Merging(read)):
        if id(like) not in seen:
            seen.add(id(like))
            found[name] = Stored(like, whole_of)
    return found


@dataclass(slots=True)
class _Merging:
    """Merges layers, and keeps the last merged one."""

    read: ReadWeight
    _name: str = ""
    _last: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, name: str, layer: Any, own: str) -> Tensor:
        if name != self._name:
            self._last = {}
            self._last, self._name = merged_layer(name, layer, self.read), name
        return self._last[own]


def _weights(name: str, module: Any, merging: _Merging) -> Iterator[tuple[str, Tensor, Callable[[], Tensor]]]:
    """Yields names, tensors and functions as in Stored."""
    if _is_adapted(module):
        base = module.get_base_layer()
        weights = dict(base.named_parameters())
        for own, value in weights.items():
            yield f"{name}.{own}", _like(value), partial(merging, name, module, own)
        # For example the bias that balances a router's load: no adapter changes it.
        for own, value in _own_state(base):
            if own not in weights:
                yield f"{name}.{own}", value, partial(whole, value.detach())
    elif is_in_four_bits(module):
        yield f"{name}.weight", _like(module.weight), partial(merging.read, name, module)
        if module.bias is not None:
            yield f"{name}.bias", module.bias, partial(whole, module.bias.detach())
    elif hasattr(module, "modules_to_save"):
        yield from _weights(name, module.modules_to_save["default"], merging)
    else:
        for own, value in _own_state(module):
            yield _join(name, own), value, partial(whole, value.detach())
        for own, child in module.named_children():
            yield from _weights(_join(name, own), child, merging)


def _is_adapted(module: nn.Module) -> bool:
    # Recognised by the methods of PEFT's layers: importing PEFT takes seconds, and full fine-tuning does not
    # need it.
    return hasattr(type(module), "get_base_layer")


def _own_state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yields what the module itself stores, without its children and without buffers that are recomputed on
    loading."""
    yield from module.named_parameters(recurse=False, remove_duplicate=False)
    for name, value in module.named_buffers(recurse=False, remove_duplicate=False):
        if name not in module._non_persistent_buffers_set:
            yield name, value


def _like(value: Any) -> Tensor:
    state = getattr(value, "quant_state", None)
    return value if state is None else torch.empty(state.shape, dtype=state.dtype, device="meta")


def _join(name: str, own: str) -> str:
    return f"{name}.{own}" if name else own


def _forward(
    name: str,
    layer: Any,
    dtype: torch.dtype,
    read: ReadWeight,
    interleaving: Interleaving,
    *args: Any,
    **kwargs: Any,
) -> Any:
    def merge() -> dict[str, Tensor]:
        return {own: value.to(dtype) for own, value in merged_layer(name, layer, read).items()}

    weights = interleaving.shared(name, merge)
    base = layer.get_base_layer()
    if is_in_four_bits(base):
        return functional.linear(args[0].to(dtype), weights["weight"], weights.get("bias"))
    return functional_call(base, weights, args, kwargs)
