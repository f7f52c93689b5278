"""The special features of each family in `tests.families`, for the tests' expectations and for the
documentation. Imports nothing, so that documentation is generated quickly."""

DECODERS: tuple[str, ...] = (
    "llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "gemma3_images", "phi", "gpt2", "opt",
    "gpt_neox", "falcon", "falcon_new", "olmo", "granite", "qwen3_moe", "falcon_alibi", "qwen3_next",
    "gpt_oss", "deepseek_v3", "gemma3n", "gemma4", "jamba", "falcon_h1", "granitemoehybrid", "nemotron_h",
)  # fmt: skip
REPRESENTATIVES = frozenset({"llama", "gpt2", "gemma3", "qwen3_moe", "jamba"})
"""One decoder of each kind: with gates and groups, learned positions, windows, experts, and a state."""
ENCODERS: tuple[str, ...] = ("bert", "modernbert")
STATEFUL = frozenset({"qwen3_next", "jamba", "falcon_h1", "granitemoehybrid", "nemotron_h"})
"""Decoders with layers that carry a state along the row."""
PADDED = STATEFUL | {"falcon", "falcon_new", "falcon_alibi"}
"""Stateful decoders, and decoders whose attention cannot keep examples apart."""
PER_ROW = STATEFUL | {"falcon_alibi"}
"""Stateful decoders, and one that counts positions from the cache's length: the embedded engine cannot
process their rows together."""
EXPERTS = frozenset({"qwen3_moe", "qwen3_next", "gpt_oss", "deepseek_v3", "jamba", "granitemoehybrid"})
MERGED = frozenset({"qwen3_moe", "qwen3_next", "deepseek_v3"})
"""Decoders in which PEFT's `all-linear` includes experts, which do not know to which row a token belongs."""
BYPASSED = {
    "jamba": ["dt_proj"],
    "falcon_h1": ["out_proj"],
    "granitemoehybrid": ["out_proj"],
    "nemotron_h": ["out_proj"],
    "gemma3n": ["correction_coefs", "prediction_coefs"],
    "gemma3_images": ["vision_tower"],
}
"""Layers whose weights their models read directly, bypassing adapters, at least in training and on some
devices; and towers through which no text passes."""
IN_LLAMA_CPP = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3"})
"""Decoders that are exported as GGUF files."""


def excluded(family: str) -> str | None:
    """The layers as a regular expression for PEFT's `exclude_modules`."""
    names = "|".join(BYPASSED.get(family, ()))
    return rf"(.*\.)?({names})(\..*)?" if names else None
