"""Finds out what a causal model can do on its first few layers instead of on all of it.

The copy has one layer of each sort, with the same weights, type and device as the model that is trained. The
result depends only on the base, the software and the device, so it is kept in the cache folder."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cluster.bases.layer_kinds import layer_kinds
from cluster.bases.pretrained import LOADING, read_config
from cluster.bases.resolve import base_digest
from cluster.contracts.frozen import FrozenModel
from cluster.training.checkpoints.environment import environment
from cluster.training.data.batches import Layout
from cluster.training.model.layout import check_layout

_FEWEST_LAYERS = 2


class Abilities(FrozenModel):
    layout: Layout
    attention: str
    """The implementation's name in transformers."""
    is_head_apart: bool
    kinds: dict[str, str]
    """Kinds of all leaves of the model, as `layer_kinds` returns them."""
    notes: list[str]
    """Messages to the job's owner about what the model cannot do and what is done instead."""


def find_abilities(
    weights: Path, load: Callable[[Any], Any], autocast: Callable[[], Any], *, packing: bool
) -> Abilities:
    """Finds what the model in `weights` can do. `load` loads it with a given configuration, on the device of
    training; `autocast` makes the context of its passes.

    Raises InvalidConfiguration if the model cannot be run at all.
    """
    config = read_config(weights)
    whole = _empty(config)
    kept = _representatives(whole)
    size = len(set(kept))
    few = load(_cut(config, size) if size < len(kept) else config)
    kinds = layer_kinds(few)
    with autocast():
        found = check_layout(few, packing=packing)
    return Abilities(
        layout=found.layout,
        attention=found.attention,
        is_head_apart=found.head.is_apart,
        kinds=_kinds_of_all(whole, kinds, kept),
        notes=found.notes,
    )


def cached(
    find: Callable[[], Abilities], weights: Path, device: torch.device, *circumstances: str
) -> Abilities:
    """Returns what was found before on the same base, device and software; otherwise what `find` finds
    now."""
    known = [base_digest(weights), environment(device).model_dump_json(), *circumstances]
    name = hashlib.sha256(json.dumps(known).encode()).hexdigest()
    root = Path(os.environ.get("TUNERY_CACHE_DIR") or Path.home() / ".cache" / "tunery")
    file = root / "abilities" / f"{name}.json"
    try:
        return Abilities.model_validate_json(file.read_bytes())
    except (OSError, ValueError):
        found = find()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(found.model_dump_json())
        draft.replace(file)
    except OSError:
        pass  # A folder that cannot be written only costs time.
    return found


def blocks(model: nn.Module) -> tuple[str, list[nn.Module]]:
    """Returns the repeated layers of a transformers model, which are its longest list of modules, and that
    list's name."""
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    name = max(lists, key=lambda each: len(lists[each]), default="")
    return name, list(lists[name]) if lists else []


def _empty(config: Any) -> Any:
    """Makes the causal model of a configuration without memory."""
    from transformers import AutoModelForCausalLM

    with LOADING, torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def _representatives(model: Any) -> list[int]:
    """Returns, for each layer, the index of the first layer of the same sort. If leaving out the last layers
    cannot give a model with all sorts of layers, each layer represents itself."""
    _, modules = blocks(model)
    sorts = [_sort(model, number, module) for number, module in enumerate(modules)]
    firsts = [sorts.index(sort) for sort in sorts]
    size = max(_FEWEST_LAYERS, max(firsts, default=0) + 1)
    kept = [number if number < size else first for number, first in enumerate(firsts)]
    try:
        cut = blocks(_empty(_cut(model.config, size)))[1] if size < len(kept) else modules
        is_same = [_shapes(each) for each in cut] == [_shapes(each) for each in modules[:size]]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        is_same = False
    return kept if is_same else list(range(len(kept)))


def _sort(model: Any, number: int, layer: nn.Module) -> tuple[object, ...]:
    config, count = model.config.get_text_config(), len(blocks(model)[1])
    own = [(name, repr(values[number])) for name, values in _per_layer(config, count).items()]
    return (_shapes(layer), *own)


def _shapes(layer: nn.Module) -> tuple[object, ...]:
    return tuple(
        (name, type(module).__name__, *(tuple(p.shape) for p in module.parameters(recurse=False)))
        for name, module in layer.named_modules()
    )


def _per_layer(config: Any, count: int) -> dict[str, list[Any]]:
    """Returns the fields of a configuration that have one value per layer."""
    return {
        name: value
        for name, value in vars(config).items()
        if isinstance(value, list) and len(value) == count and name != "architectures"
    }


def _cut(config: Any, size: int) -> Any:
    """Returns the configuration of the same model with only its first layers."""
    config = deepcopy(config)
    text = config.get_text_config()
    for name, values in _per_layer(text, text.num_hidden_layers).items():
        setattr(text, name, values[:size])
    text.num_hidden_layers = size
    return config


def _kinds_of_all(model: nn.Module, kinds: Mapping[str, str], kept: list[int]) -> dict[str, str]:
    """Derives the kinds of the whole model's leaves from those of its first layers."""
    root, _ = blocks(model)
    found = {}
    for name, module in model.named_modules():
        if any(module.children()):
            continue
        alike = name
        if name.startswith(f"{root}."):
            number, _, rest = name.removeprefix(f"{root}.").partition(".")
            alike = f"{root}.{kept[int(number)]}.{rest}"
        if alike in kinds:
            found[name] = kinds[alike]
    return found
