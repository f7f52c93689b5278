"""The other adaptation methods of the PEFT library: which ones, and which of their fields a job may set.

An allow-list: fields that name code, files or other models are not on it.
"""

import re
from typing import Any

from cluster.contracts.errors import InvalidRequest

_TARGETED = frozenset({"target_modules", "exclude_modules", "layers_to_transform"})
_LORA = _TARGETED | {
    "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "init_lora_weights", "bias", "rank_pattern",
    "alpha_pattern",
}  # fmt: skip
_PRODUCTS = _TARGETED | {
    "r", "alpha", "rank_dropout", "module_dropout", "rank_pattern", "alpha_pattern", "decompose_both",
    "decompose_factor",
}  # fmt: skip

_INITS = (True, False, "gaussian", "orthogonal", "pissa", "olora")

PREFIXES: frozenset[str] = frozenset({"PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"})
"""Methods that put learned positions before the prompt and leave the base's weights alone."""

ALLOWED: dict[str, frozenset[str]] = {
    "LORA": _LORA,
    "ADALORA": _LORA
    | {"target_r", "init_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight"},
    "LOHA": _PRODUCTS,
    "LOKR": _PRODUCTS,
    "OFT": _TARGETED | {"r", "oft_block_size", "module_dropout", "coft", "eps", "block_share"},
    "VERA": _TARGETED | {"r", "vera_dropout", "d_initial", "projection_prng_key"},
    "IA3": _TARGETED | {"feedforward_modules"},
    "LN_TUNING": _TARGETED,
    "HRA": _TARGETED | {"r", "apply_GS"},
    "MISS": _TARGETED | {"r", "mini_r", "miss_dropout"},
    "FOURIERFT": _TARGETED | {"n_frequency", "scaling"},
    "PREFIX_TUNING": frozenset({"num_virtual_tokens", "prefix_projection", "encoder_hidden_size"}),
    "PROMPT_TUNING": frozenset({"num_virtual_tokens"}),
    "P_TUNING": frozenset(
        {"num_virtual_tokens", "encoder_reparameterization_type", "encoder_hidden_size", "encoder_num_layers"}
    ),
}

RATE_FACTORS: dict[str, float] = {
    "IA3": 10.0,
    "LN_TUNING": 10.0,
    "VERA": 10.0,
    "PREFIX_TUNING": 10.0,
    "PROMPT_TUNING": 10.0,
    "P_TUNING": 10.0,
}
"""Times LoRA's learning rate: methods of few parameters, or of vectors that multiply, move slowly."""

MAX_VIRTUAL_TOKENS = 1024

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")

_MAX_SIZES = {
    "r": 1024,
    "init_r": 1024,
    "target_r": 1024,
    "mini_r": 1024,
    "num_virtual_tokens": MAX_VIRTUAL_TOKENS,
    "encoder_hidden_size": 8192,
    "encoder_num_layers": 8,
}
"""Whole numbers that decide how much memory an adapter takes."""

_FLAGS = frozenset(
    {"use_rslora", "use_dora", "decompose_both", "coft", "block_share", "apply_GS", "prefix_projection"}
)


def check_peft_config(config: dict[str, Any]) -> None:
    """Raises InvalidRequest, which names the field, the value and what is allowed."""
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
        _check_value(name, value)
    targets = config.get("target_modules", "all-linear")
    if isinstance(targets, str) and targets != "all-linear":
        raise _invalid("target_modules", targets, "'all-linear' or a list of the layers' names")
    if config.get("init_lora_weights", True) not in _INITS:
        raise _invalid(
            "init_lora_weights", config["init_lora_weights"], f"allowed: {', '.join(map(str, _INITS))}"
        )
    count = config.get("num_virtual_tokens")
    if method in PREFIXES and not (type(count) is int and 1 <= count <= MAX_VIRTUAL_TOKENS):
        raise _invalid("num_virtual_tokens", count, f"{method} needs from 1 to {MAX_VIRTUAL_TOKENS}")


def _check_value(name: str, value: object) -> None:
    if name in _FLAGS and not isinstance(value, bool):
        raise _invalid(name, value, "true or false")
    limit = _MAX_SIZES.get(name)
    if limit is not None and not _is_size(value, limit):
        raise _invalid(name, value, f"a whole number of at most {limit}")
    if name == "rank_pattern":
        limit = _MAX_SIZES["r"]
        if not isinstance(value, dict) or not all(_is_size(rank, limit) for rank in value.values()):
            raise _invalid(name, value, f"whole numbers of at most {limit}, by layer")


def _is_size(value: object, limit: int) -> bool:
    return type(value) is int and 0 <= value <= limit


def _is_plain(value: object) -> bool:
    """Names of layers are names: PEFT would read them as regular expressions."""
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
