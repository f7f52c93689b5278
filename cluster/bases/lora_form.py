"""Which form tuned weights take: what of PEFT an engine can serve beside the base, and what only merged."""

from collections.abc import Mapping
from typing import Any

from cluster.contracts.bases import WeightsForm
from cluster.contracts.peft_options import PREFIXES

ROW_LAYERS = frozenset({"Linear", "Conv1D"})
"""Kinds of layers whose update an engine adds row by row. `layer_kinds.layer_kinds` tells a model's kinds."""

COMPUTED_FIELDS = frozenset(
    {"r", "lora_alpha", "target_modules", "use_rslora", "rank_pattern", "alpha_pattern"}
)
"""Fields of a LoRA configuration that change what the adapter computes, and that engines know."""

_WITHOUT_EFFECT = frozenset(
    {
        "peft_type", "peft_version", "task_type", "auto_mapping", "base_model_name_or_path", "revision",
        "inference_mode", "lora_dropout", "runtime_config", "exclude_modules", "layers_to_transform",
        "layers_pattern", "megatron_core", "qalora_group_size", "init_lora_weights", "fan_in_fan_out",
    }
)  # fmt: skip
"""Fields that say nothing about the served function: who made it, dropout, how the base stores a weight, and
where tensors were put, which their names tell too."""

_PLAIN_INITS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Initialisations that leave the base's own weights alone; PiSSA, OLoRA, CorDA and LoftQ change them."""


def served_form(peft_config: Mapping[str, Any], module_kinds: Mapping[str, str]) -> WeightsForm:
    """How an adapter is served.

    `peft_config` are the fields of its adapter_config.json. `module_kinds` are the kinds, as `layer_kinds`
    has them, of the layers it adapts, by name: a router that sees tokens without their rows, or an expert's
    weight that is no layer at all, is merged, because there is no telling whose adapter is meant.
    """
    if peft_config.get("peft_type") in PREFIXES:
        return "prefix"
    is_by_row = all(kind in ROW_LAYERS for kind in module_kinds.values())
    return "lora" if is_by_row and more_than_lora(peft_config) is None else "full"


def more_than_lora(peft_config: Mapping[str, Any]) -> str | None:
    """The first field that makes an adapter more than plain LoRA, as `name = value`; None if it is plain."""
    if peft_config.get("peft_type") != "LORA":
        return f"peft_type = {peft_config.get('peft_type')!r}"
    if peft_config.get("init_lora_weights") not in _PLAIN_INITS:
        return f"init_lora_weights = {peft_config['init_lora_weights']!r}"
    known = COMPUTED_FIELDS | _WITHOUT_EFFECT
    for name, value in peft_config.items():
        if name not in known and value and value != "none":
            return f"{name} = {value!r}"
    return None
