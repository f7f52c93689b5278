"""The PEFT library's other adaptation methods: which ones a job may use, and which of their fields it may
set.

This is an allow-list. It leaves out fields that name code, files or other models."""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from cluster.contracts.errors import InvalidRequest

_TARGETED = frozenset({"target_modules", "exclude_modules", "layers_to_transform"})
_LORA = _TARGETED | {
    "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "init_lora_weights", "bias", "rank_pattern",
    "alpha_pattern",
}  # fmt: skip
_PRODUCTS = _TARGETED | {"r", "alpha", "rank_dropout", "module_dropout", "rank_pattern", "alpha_pattern"}

_INITS = (True, False, "gaussian", "orthogonal", "pissa", "olora")

PREFIXES: frozenset[str] = frozenset({"PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"})
"""Methods that put learned positions before the prompt and leave the base's weights unchanged."""

ALLOWED: dict[str, frozenset[str]] = {
    "LORA": _LORA,
    "ADALORA": _LORA
    | {"target_r", "init_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight"},
    "LOHA": _PRODUCTS,
    "LOKR": _PRODUCTS | {"decompose_both", "decompose_factor"},
    "OFT": _TARGETED | {"r", "oft_block_size", "module_dropout", "coft", "eps", "block_share"},
    "VERA": frozenset(
        {"target_modules", "layers_to_transform", "r", "vera_dropout", "d_initial", "projection_prng_key"}
    ),
    "IA3": frozenset({"target_modules", "exclude_modules", "feedforward_modules"}),
    "LN_TUNING": frozenset({"target_modules", "exclude_modules"}),
    "HRA": _TARGETED | {"r", "apply_GS"},
    "MISS": _TARGETED | {"r", "mini_r", "miss_dropout"},
    "FOURIERFT": _TARGETED | {"n_frequency", "scaling"},
    "PREFIX_TUNING": frozenset({"num_virtual_tokens", "prefix_projection", "encoder_hidden_size"}),
    "PROMPT_TUNING": frozenset({"num_virtual_tokens"}),
    "P_TUNING": frozenset(
        {"num_virtual_tokens", "encoder_reparameterization_type", "encoder_hidden_size", "encoder_num_layers"}
    ),
}

USUAL_LAYERS: dict[str, frozenset[str]] = {
    "IA3": frozenset(
        {"bert", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral",
         "mixtral", "opt", "phi", "qwen2", "qwen3"}
    ),
    "LN_TUNING": frozenset(
        {"falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "llama", "mistral", "phi", "qwen2", "qwen3"}
    ),
}  # fmt: skip
"""The families for which PEFT knows which layers these methods adapt, where `target_modules` does not say it.
Only families that are planned are named here."""

RATE_FACTORS: dict[str, float] = {
    "IA3": 10.0,
    "LN_TUNING": 10.0,
    "VERA": 10.0,
    "PREFIX_TUNING": 10.0,
    "PROMPT_TUNING": 10.0,
    "P_TUNING": 10.0,
}
"""Factors on LoRA's learning rate: methods with few parameters, or with multiplied vectors, learn slowly."""

MAX_VIRTUAL_TOKENS = 1024
MAX_SCALE = 10_000
"""Maximum of scales such as LoRA's alpha."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")

_MAX_NAMES = 1000


class _Rule(NamedTuple):
    allows: Callable[[Any], bool]
    description: str


def _whole(least: int, most: int) -> _Rule:
    return _Rule(
        lambda value: type(value) is int and least <= value <= most, f"a whole number from {least} to {most}"
    )


def _one_of(*names: str) -> _Rule:
    return _Rule(lambda value: value in names, f"allowed: {', '.join(names)}")


_LAYERS = _Rule(
    lambda value: isinstance(value, list) and bool(value) and all(map(_is_name, value)),
    "a list of the layers' names",
)


def _by_layer(rule: _Rule) -> _Rule:
    return _Rule(
        lambda value: isinstance(value, dict) and all(map(rule.allows, value.values())),
        f"{rule.description}, by layer",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_FLAG = _Rule(lambda value: isinstance(value, bool), "true or false")
_SHARE = _Rule(lambda value: _is_number(value) and 0 <= value < 1, "a number from 0 to below 1")
_NUMBER = _Rule(
    lambda value: _is_number(value) and 0 <= value <= MAX_SCALE, f"a number from 0 to {MAX_SCALE}"
)
_RANK = _whole(1, 1024)
_STEPS = _whole(0, 10**9)

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(
        ("use_rslora", "use_dora", "decompose_both", "coft", "block_share", "apply_GS", "prefix_projection"),
        _FLAG,
    ),
    **dict.fromkeys(
        ("lora_dropout", "rank_dropout", "module_dropout", "vera_dropout", "miss_dropout", "beta1", "beta2"),
        _SHARE,
    ),
    **dict.fromkeys(("lora_alpha", "alpha", "scaling", "eps", "orth_reg_weight", "d_initial"), _NUMBER),
    **dict.fromkeys(("r", "init_r", "target_r", "mini_r"), _RANK),
    **dict.fromkeys(("tinit", "tfinal", "projection_prng_key"), _STEPS),
    "deltaT": _whole(1, 10**9),
    "n_frequency": _whole(1, 10**6),
    "oft_block_size": _whole(0, 8192),
    "decompose_factor": _whole(-1, 8192),
    "num_virtual_tokens": _whole(1, MAX_VIRTUAL_TOKENS),
    "encoder_hidden_size": _whole(1, 8192),
    "encoder_num_layers": _whole(1, 8),
    **dict.fromkeys(("exclude_modules", "feedforward_modules"), _LAYERS),
    "target_modules": _Rule(
        lambda value: value == "all-linear" or _LAYERS.allows(value),
        f"'all-linear' or {_LAYERS.description}",
    ),
    "bias": _one_of("none", "all", "lora_only"),
    "encoder_reparameterization_type": _one_of("MLP", "LSTM"),
    "layers_to_transform": _Rule(
        lambda value: all(
            _whole(0, 10**6).allows(one) for one in (value if isinstance(value, list) else [value])
        ),
        "a layer's number, or a list of them, from 0",
    ),
    "rank_pattern": _by_layer(_RANK),
    "alpha_pattern": _by_layer(_NUMBER),
}
"""What a field may hold, if that is more restricted than any name or number."""


def check_peft_config(config: dict[str, Any]) -> None:
    """Raises InvalidRequest, naming the field, the value and what is allowed."""
    method = config.get("peft_type")
    if not isinstance(method, str) or method not in ALLOWED:
        raise _invalid("peft_type", method, f"allowed: {', '.join(sorted(ALLOWED))}")
    for name, value in config.items():
        if name == "peft_type":
            continue
        if name not in ALLOWED[method]:
            raise _invalid(name, value, f"fields of {method}: {', '.join(sorted(ALLOWED[method]))}")
        if not _is_plain(value):
            raise _invalid(name, value, "a number, true or false, a name, or a list of names or numbers")
        if not (method == "OFT" and name == "r" and value == 0):
            _check_value(name, value)
    if config.get("init_lora_weights", True) not in _INITS:
        raise _invalid(
            "init_lora_weights", config["init_lora_weights"], f"allowed: {', '.join(map(str, _INITS))}"
        )
    _check_together(method, config)
    count = config.get("num_virtual_tokens")
    if method in PREFIXES and not (type(count) is int and 1 <= count <= MAX_VIRTUAL_TOKENS):
        raise _invalid("num_virtual_tokens", count, f"{method} needs from 1 to {MAX_VIRTUAL_TOKENS}")


def _check_together(method: str, config: dict[str, Any]) -> None:
    """Checks what PEFT would refuse only after the job has started."""
    targets = config.get("target_modules")
    if "layers_to_transform" in config and not isinstance(targets, list):
        raise _invalid(
            "layers_to_transform", config["layers_to_transform"], "it needs a list of target_modules"
        )
    if isinstance(targets, list) and not set(config.get("feedforward_modules") or ()) <= set(targets):
        raise _invalid(
            "feedforward_modules", config["feedforward_modules"], "all must be in target_modules too"
        )
    if method == "ADALORA" and config.get("use_dora"):
        raise _invalid("use_dora", True, "ADALORA has no DoRA")
    ranks = [config.get("r", 8), *(config.get("rank_pattern") or {}).values()]
    if config.get("init_lora_weights") == "orthogonal" and any(rank % 2 for rank in ranks):
        raise _invalid("r", config.get("r", 8), "init_lora_weights 'orthogonal' needs even ranks")
    if method == "OFT" and bool(config.get("r", 0)) == bool(config.get("oft_block_size", 32)):
        raise _invalid(
            "r", config.get("r", 0), "give r with oft_block_size 0, or oft_block_size (32) with r 0"
        )


def _check_value(name: str, value: Any) -> None:
    rule = _RULES.get(name)
    if rule is not None and not rule.allows(value):
        raise _invalid(name, value, rule.description)
    if isinstance(value, list | dict) and len(value) > _MAX_NAMES:
        raise _invalid(name, value, f"at most {_MAX_NAMES} names")


def _is_plain(value: object) -> bool:
    """Whether layer names are plain names. PEFT would read anything else as a regular expression."""
    if isinstance(value, list):
        return all(isinstance(item, int) or _is_name(item) for item in value)
    if isinstance(value, dict):
        return all(_is_name(key) and isinstance(number, int | float) for key, number in value.items())
    return isinstance(value, bool | int | float) or _is_name(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _invalid(name: str, value: object, allowed: str) -> InvalidRequest:
    return InvalidRequest(
        f"training.peft_config.{name} is {value!r:.80}; {allowed}.", param=f"training.peft_config.{name}"
    )
