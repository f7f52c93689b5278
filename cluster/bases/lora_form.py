"""Decides which form tuned weights take: whether an engine can serve them beside the base, or only merged
into it."""

from collections.abc import Mapping
from typing import Any

from cluster.contracts.bases import WeightsForm
from cluster.contracts.peft_options import PREFIXES

ROW_LAYERS = frozenset({"Linear", "Conv1D"})
"""Kinds of layers, as `layer_kinds.layer_kinds` names them, whose update an engine can add row by row."""

COMPUTED_FIELDS = frozenset(
    {"r", "lora_alpha", "target_modules", "use_rslora", "rank_pattern", "alpha_pattern"}
)
"""Fields of a LoRA configuration that change what the adapter computes, and that engines support."""

_WITHOUT_EFFECT = frozenset(
    {
        "peft_type", "peft_version", "task_type", "auto_mapping", "base_model_name_or_path", "revision",
        "inference_mode", "lora_dropout", "runtime_config", "exclude_modules", "layers_to_transform",
        "layers_pattern", "megatron_core", "qalora_group_size", "init_lora_weights", "fan_in_fan_out",
    }
)  # fmt: skip
"""Fields that do not affect the served function: who made the adapter, dropout, how the base stores a weight,
and where tensors were placed, which their names also say."""

_PLAIN_INITS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Initialisations that leave the base's own weights unchanged. PiSSA, OLoRA, CorDA and LoftQ change them."""


def served_form(peft_config: Mapping[str, Any], module_kinds: Mapping[str, str]) -> WeightsForm:
    """Returns how an adapter is served.

    `peft_config` holds the fields of its adapter_config.json. `module_kinds` holds the kinds of the layers
    that it adapts, as `layer_kinds` returns them, by name. An adapter must be merged if it changes a router
    that sees tokens without their row structure, or an expert's weight that is not a layer: an engine cannot
    tell which request's adapter applies."""
    if peft_config.get("peft_type") in PREFIXES:
        return "prefix"
    is_by_row = all(kind in ROW_LAYERS for kind in module_kinds.values())
    return "lora" if is_by_row and more_than_lora(peft_config) is None else "full"


def more_than_lora(peft_config: Mapping[str, Any]) -> str | None:
    """Returns the first field that makes an adapter more than plain LoRA, as `name = value`; None if it is
    plain."""
    if peft_config.get("peft_type") != "LORA":
        return f"peft_type = {peft_config.get('peft_type')!r}"
    if peft_config.get("init_lora_weights") not in _PLAIN_INITS:
        return f"init_lora_weights = {peft_config['init_lora_weights']!r}"
    known = COMPUTED_FIELDS | _WITHOUT_EFFECT
    for name, value in peft_config.items():
        if name not in known and value and value != "none":
            return f"{name} = {value!r}"
    return None
