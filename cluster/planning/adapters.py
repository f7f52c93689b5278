"""How many weights an adapter has."""

from typing import Any

from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.model_shape import LinearShape, ModelShape
from cluster.contracts.peft_options import PREFIXES

_PEFT_RANK = 8
"""PEFT's default."""
_OF_EXPERTS = frozenset({"gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"})
"""Layers that PEFT takes to be those of all experts if a model has experts."""


def trained_weights(shape: ModelShape, options: TrainingOptions) -> int:
    """Returns the number of trained weights: all weights for a full fine-tune, otherwise those of the
    adapter. Methods other than LoRA are estimated as LoRA of their rank, and most of them are smaller than
    that."""
    if options.type == "full":
        return shape.parameters
    if options.peft_type in PREFIXES:
        return _prefix(shape, options)
    wanted = _wanted(options)
    rank = adapter_rank(options) * (2 if options.peft_type == "LOHA" else 1)
    weights = sum(
        (rank * (layer.inputs + layer.outputs) + has_magnitudes(options) * layer.outputs)
        * _adapted_blocks(layer, wanted)
        for layer in shape.linear
    )
    return weights + (rank * shape.expert_adapter if adapts_experts(shape, options) else 0)


def adapts_experts(shape: ModelShape, options: TrainingOptions) -> bool:
    """Whether the adapter changes stacked experts, which only LoRA does. An adapter that changes only some of
    their weights counts as changing them."""
    if not shape.expert_adapter or options.type == "full" or options.peft_type not in (None, "LORA"):
        return False
    wanted = _wanted(options)
    return not _OF_EXPERTS.isdisjoint(wanted) if isinstance(wanted, list) else wanted == "all-linear"


def adapter_rank(options: TrainingOptions) -> int:
    """Returns the adapter's rank; 0 if nothing is added to layers."""
    if options.type == "full" or options.peft_type in PREFIXES:
        return 0
    config = options.peft_config or {}
    return int(config.get("init_r") or config.get("r") or _PEFT_RANK) if options.type == "peft" else options.r


def has_magnitudes(options: TrainingOptions) -> bool:
    """Whether the adapter learns the magnitudes of weight columns (DoRA)."""
    return bool(options.use_dora or (options.peft_config or {}).get("use_dora"))


def _wanted(options: TrainingOptions) -> Any:
    """Returns the layers to adapt, or PEFT's name for all."""
    if options.type != "peft":
        return options.target_modules
    return (options.peft_config or {}).get("target_modules", "all-linear")


def _adapted_blocks(layer: LinearShape, wanted: object) -> int:
    """Returns in how many blocks the layer is adapted. A full name, with a block's number, adapts it in one
    of them."""
    if not isinstance(wanted, list):
        return layer.count if layer.is_adapted else 0
    if any(layer.name == name or layer.name.endswith(f".{name}") for name in wanted):
        return layer.count
    return min(layer.count, sum(str(name).endswith(f".{layer.name}") for name in wanted))


def _prefix(shape: ModelShape, options: TrainingOptions) -> int:
    count = int((options.peft_config or {}).get("num_virtual_tokens", 0))
    if options.peft_type == "PREFIX_TUNING":
        return count * shape.num_layers * shape.key_value_size
    return count * shape.hidden_size
