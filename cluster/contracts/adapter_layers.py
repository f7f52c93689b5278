"""Checks which layers of a base an adapter may name. Pure: `cluster.bases.layers` reads the layers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.model_shape import ModelShape
from cluster.contracts.peft_options import USUAL_LAYERS

_NUMBERED = re.compile(r"\.\d+\.")
_EXPERT = re.compile(r"\.experts\.\d+\.")
_JOINED = (("gate_proj", "up_proj"), ("w1", "w3"))
"""Layers of experts that models compute with one weight, as PEFT knows them
(`peft/utils/transformers_weight_conversion.py`)."""
_MISS_RANK, _FREQUENCIES = 64, 1000
"""PEFT's defaults."""


@dataclass(frozen=True, slots=True)
class BaseLayers:
    """The layers of a base that have weights."""

    shapes: Mapping[str, tuple[int, ...]]
    """Shapes of the weights, by the layer's full name."""
    vocab_size: int | None
    num_layers: int | None
    """Number of numbered blocks. This and `vocab_size` are None if the base's configuration does not say."""

    @property
    def linear(self) -> set[str]:
        """Linear layers, except embeddings and the head."""
        return {name for name, shape in self.shapes.items() if len(shape) > 1} - self.outer

    @property
    def outer(self) -> set[str]:
        """The embeddings and the head: layers outside of the blocks, with as many rows as the vocabulary."""
        return {
            name
            for name, shape in self.shapes.items()
            if len(shape) == 2 and shape[0] == self.vocab_size and not _NUMBERED.search(name)
        }


def check_layers(
    options: TrainingOptions, layers: BaseLayers, alias: str, shape: ModelShape | None = None
) -> None:
    """Raises InvalidRequest if `options` name a layer that the base does not have or that no adapter can
    change, or a size that its layers are too small for. The message names what exists. Without the `shape` of
    the base, experts and routers are taken for ordinary layers."""
    if not layers.linear:
        return  # The weights are in a form that is not known here.
    if options.peft_config is not None:
        _check_peft(options.peft_config, layers, alias, shape)
    elif options.type != "full" and options.target_modules != "all-linear":
        _check_lora("training.target_modules", options.target_modules, layers, alias, shape)


def in_block(name: str) -> str | None:
    """The layer's name from the list of blocks on, such as `layers.3.mlp.up_proj`."""
    found = _NUMBERED.search(name)
    return None if found is None else name[name.rfind(".", 0, found.start()) + 1 :]


def _check_peft(config: Mapping[str, Any], layers: BaseLayers, alias: str, shape: ModelShape | None) -> None:
    place = "training.peft_config"
    method = config["peft_type"]
    allowed = set(layers.shapes) - layers.outer if method == "LN_TUNING" else _ordinary(layers, shape)
    targets = config.get("target_modules")
    if method == "LORA" and isinstance(targets, list):
        _check_lora(f"{place}.target_modules", targets, layers, alias, shape)
        allowed = layers.linear
    elif isinstance(targets, list):
        _check_targets(f"{place}.target_modules", targets, allowed, layers, alias)
    elif (
        targets is None
        and shape is not None
        and shape.model_type not in USUAL_LAYERS.get(method, {shape.model_type})
    ):
        raise InvalidRequest(
            f"{method} has no usual layers in models of type {shape.model_type}. Name them in "
            f"{place}.target_modules; '{alias}' has {', '.join(_short_names(allowed))}.",
            param=f"{place}.target_modules",
        )
    for name in ("exclude_modules", "feedforward_modules", "rank_pattern", "alpha_pattern"):
        if isinstance(found := config.get(name), list | dict):
            _check_targets(f"{place}.{name}", found, set(layers.shapes), layers, alias)
    _check_numbers(config.get("layers_to_transform"), layers, alias)
    adapted = _adapted(config, allowed)
    if not adapted:
        raise InvalidRequest(
            f"{place}.exclude_modules leaves no layer of '{alias}' to adapt.",
            param=f"{place}.exclude_modules",
        )
    shapes = [layers.shapes[name] for name in adapted]
    if method == "MISS" and (r := config.get("r", _MISS_RANK)) > (
        least := min(shape[-1] for shape in shapes)
    ):
        raise InvalidRequest(
            f"{place}.r is {r}; the narrowest layer that it adapts has {least} inputs.",
            param=f"{place}.r",
        )
    least = min(shape[0] * shape[-1] for shape in shapes)
    if method == "FOURIERFT" and (count := config.get("n_frequency", _FREQUENCIES)) > least:
        raise InvalidRequest(
            f"{place}.n_frequency is {count}; the smallest layer that it adapts has {least} weights.",
            param=f"{place}.n_frequency",
        )


def _check_lora(
    param: str, names: Iterable[str], layers: BaseLayers, alias: str, shape: ModelShape | None
) -> None:
    """PEFT's LoRA takes the names of experts' layers, and of their routers, to mean those of all experts.
    Other layers with the same names cannot be adapted on their own."""
    ordinary = _ordinary(layers, shape)
    if shape is None or not shape.expert_adapter:
        _check_targets(param, names, ordinary, layers, alias)
        return
    experts = {_last(name) for name in layers.shapes if _EXPERT.search(name)}
    routers = {name for name in layers.shapes if _last(name) == "gate"}
    short = [*experts, "gate"]
    for name in names:
        if _last(name) in short and name != _last(name):
            raise InvalidRequest(
                f"{param} names '{name}', and an adapter changes the experts of '{alias}' only all together: "
                f"name {', '.join(sorted(short))}.",
                param=param,
            )
        for pair in _JOINED:
            if name in pair and name in experts and not set(pair) <= set(names):
                raise InvalidRequest(
                    f"{param} names '{name}' alone, and '{alias}' computes {' and '.join(pair)} with one "
                    "weight: name both.",
                    param=param,
                )
    allowed = {name for name in ordinary if _last(name) not in experts} | routers
    allowed |= {name for name in layers.shapes if _EXPERT.search(name)}
    _check_targets(param, names, allowed, layers, alias)


def _ordinary(layers: BaseLayers, shape: ModelShape | None) -> set[str]:
    """Returns the linear layers that are also single layers in the model: experts are stacked there, and
    routers and convolutions are of other kinds."""
    if shape is None:
        return layers.linear
    known = [each.name for each in shape.linear]
    found = {
        name
        for name in layers.linear
        if not _EXPERT.search(name) and any(_is_called(name, each) for each in known)
    }
    return found or layers.linear


def _check_targets(
    param: str, names: Iterable[str], allowed: set[str], layers: BaseLayers, alias: str
) -> None:
    for name in names:
        if any(_is_called(layer, name) for layer in allowed):
            continue
        if any(_is_called(layer, name) for layer in layers.outer):
            problem = f"{param} names '{name}', and adapters on the embeddings or the head are not supported"
        elif any(_is_called(layer, name) for layer in layers.shapes):
            problem = f"{param} names '{name}', which is not a layer that this adapter can change"
        else:
            problem = f"{param} names '{name}', but '{alias}' has no such layer"
        raise InvalidRequest(f"{problem}; it has {', '.join(_short_names(allowed))}.", param=param)


def _check_numbers(numbers: Any, layers: BaseLayers, alias: str) -> None:
    if numbers is None or layers.num_layers is None:
        return
    for number in numbers if isinstance(numbers, list) else [numbers]:
        if not number < layers.num_layers:
            raise InvalidRequest(
                f"training.peft_config.layers_to_transform names layer {number}, but '{alias}' has "
                f"{layers.num_layers}, numbered from 0.",
                param="training.peft_config.layers_to_transform",
            )


def _adapted(config: Mapping[str, Any], allowed: set[str]) -> set[str]:
    targets, excluded = config.get("target_modules"), config.get("exclude_modules") or ()
    chosen = {
        layer
        for layer in allowed
        if not isinstance(targets, list) or any(_is_called(layer, name) for name in targets)
    }
    return {layer for layer in chosen if not any(_is_called(layer, name) for name in excluded)}


def _is_called(layer: str, name: str) -> bool:
    """Whether the layer has this full name or ends with it. Files may leave out or change the first parts of
    a model's names."""
    return any(
        (
            layer == name,
            layer.endswith(f".{name}"),
            name.endswith(f".{layer}"),
            in_block(name) is not None and in_block(layer) == in_block(name),
        )
    )


def _short_names(layers: set[str]) -> list[str]:
    return sorted({_last(name) for name in layers if _NUMBERED.search(name)} or layers)


def _last(name: str) -> str:
    return name.rpartition(".")[2]
