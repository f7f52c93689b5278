"""How the families of models are built: what each block holds, and what is outside of the blocks.

A family is known once its counts equal those of transformers' own model, which a test compares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.planning.architectures import (
    bert_block,
    bert_rest,
    deepseek_block,
    dense,
    falcon_block,
    gpt2_block,
    gpt_oss_block,
    modernbert_block,
    modernbert_rest,
    neox_block,
    opt_block,
    phi3_block,
    phi_block,
    qwen3_next_block,
    sparse,
)
from cluster.planning.blocks import QueryKeyNorm, grouped_attention
from cluster.planning.parts import Config, Part
from cluster.planning.per_layer import (
    gemma3n_block,
    gemma3n_rest,
    gemma4_block,
    gemma4_rest,
    per_layer_embeddings,
)
from cluster.planning.recurrent import (
    falcon_h1_block,
    granite_hybrid_block,
    jamba_block,
    nemotron_block,
    nemotron_kinds,
)

Block = Callable[[Config, int], Part]
"""The weights of the block with this number."""


def _none(_: Config) -> int:
    return 0


def _last_norm(config: Config) -> int:
    return config.hidden


@dataclass(frozen=True, slots=True)
class Family:
    block: Block
    rest: Callable[[Config], int | Part] = _none
    """Weights outside of the blocks, besides embeddings and head: a last norm, learned positions. A Part if
    linear layers are among them."""
    embeddings: Callable[[Config], int] = _none
    """Number of weights in token embeddings besides those of the input."""
    layers: Callable[[Config], int] = lambda config: config.layers
    is_tied: bool = False
    """Whether embeddings and head are the same weights, unless the configuration says otherwise."""
    has_head: bool = True
    is_gated: bool = True
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values that configurations leave out."""


def _llama_like(
    *,
    bias: bool | None = None,
    output_bias: bool | None = None,
    norms: int = 2,
    norm: QueryKeyNorm = None,
    feed_forward: Block = dense,
    is_tied: bool = False,
    **defaults: Any,
) -> Family:
    """`bias` and `output_bias` of the projections default to what the configuration says."""

    def block(config: Config, number: int) -> Part:
        asked = config.flag("attention_bias")
        attention = grouped_attention(
            config,
            number,
            bias=asked if bias is None else bias,
            output_bias=asked if output_bias is None else output_bias,
            norm=norm,
        )
        return attention + feed_forward(config, number) + Part(rest=norms * config.hidden)

    return Family(
        block,
        rest=_last_norm if norms else _none,
        is_tied=is_tied,
        defaults=defaults,
    )


_MAMBA2: Mapping[str, Any] = {
    "mamba_expand": 2,
    "mamba_d_conv": 4,
    "mamba_conv_bias": True,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 256,
}

FAMILIES: dict[str, Family] = {
    "llama": _llama_like(),
    "mistral": _llama_like(bias=False, output_bias=False, num_key_value_heads=8),
    "ministral": _llama_like(bias=False, output_bias=False),
    "qwen2": _llama_like(bias=True, output_bias=False, use_sliding_window=False, max_window_layers=28),
    "qwen3": _llama_like(norm="head", head_dim=128, use_sliding_window=False, max_window_layers=28),
    "gemma": _llama_like(is_tied=True, vocab_size=256000, head_dim=256),
    "gemma2": _llama_like(
        norms=4,
        is_tied=True,
        vocab_size=256000,
        head_dim=256,
        sliding_window=4096,
        sliding_window_pattern=2,
    ),
    "gemma3_text": _llama_like(
        norms=4,
        norm="head",
        is_tied=True,
        vocab_size=262208,
        head_dim=256,
        num_attention_heads=8,
        num_key_value_heads=4,
        sliding_window=4096,
        sliding_window_pattern=6,
    ),
    "gemma3n_text": Family(
        gemma3n_block,
        gemma3n_rest,
        per_layer_embeddings,
        is_tied=True,
        defaults={
            "sliding_window_pattern": 5,
            "sliding_window": 512,
            "altup_num_inputs": 4,
            "altup_correct_scale": True,
            "laurel_rank": 64,
        },
    ),
    "gemma4_text": Family(
        gemma4_block,
        gemma4_rest,
        per_layer_embeddings,
        is_tied=True,
        defaults={"sliding_window_pattern": 6, "sliding_window": 512, "global_head_dim": 512},
    ),
    "granite": _llama_like(),
    "olmo": _llama_like(norms=0),
    "olmo2": _llama_like(norm="whole"),
    "smollm3": _llama_like(is_tied=True),
    "mixtral": _llama_like(bias=False, output_bias=False, feed_forward=sparse, num_key_value_heads=8),
    "qwen2_moe": _llama_like(
        bias=True, output_bias=False, feed_forward=sparse, use_sliding_window=False, max_window_layers=28
    ),
    "qwen3_moe": _llama_like(norm="head", feed_forward=sparse, use_sliding_window=False),
    "qwen3_next": Family(qwen3_next_block, _last_norm),
    "jamba": Family(
        jamba_block,
        _last_norm,
        defaults={
            "attn_layer_period": 8,
            "attn_layer_offset": 4,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_expand": 2,
            "mamba_d_state": 16,
            "mamba_d_conv": 4,
            "mamba_conv_bias": True,
        },
    ),
    "falcon_h1": Family(
        falcon_h1_block,
        _last_norm,
        defaults=_MAMBA2,
    ),
    "granitemoehybrid": Family(
        granite_hybrid_block,
        _last_norm,
        defaults=_MAMBA2,
    ),
    "nemotron_h": Family(
        nemotron_block,
        _last_norm,
        layers=lambda config: len(nemotron_kinds(config)),
        is_gated=False,
        defaults={"conv_kernel": 4, "use_conv_bias": True, "n_groups": 8, "chunk_size": 128},
    ),
    "gpt_oss": Family(
        gpt_oss_block,
        _last_norm,
        defaults={"sliding_window": 128, "sliding_window_pattern": 2},
    ),
    "deepseek_v2": Family(deepseek_block, _last_norm),
    "deepseek_v3": Family(deepseek_block, _last_norm),
    "phi3": Family(phi3_block, _last_norm),
    "phi": Family(phi_block, lambda config: 2 * config.hidden + config.size("vocab_size"), is_gated=False),
    "gpt2": Family(
        gpt2_block,
        lambda config: (config.size("n_positions") + 2) * config.hidden,
        is_tied=True,
        is_gated=False,
        defaults={"n_positions": 1024},
    ),
    "opt": Family(
        opt_block,
        lambda config: (config.size("max_position_embeddings") + 2 + 2) * config.hidden,
        is_tied=True,
        is_gated=False,
        defaults={"enable_bias": True},
    ),
    "gpt_neox": Family(
        neox_block,
        lambda config: 2 * config.hidden,
        is_gated=False,
        defaults={"attention_bias": True},
    ),
    "falcon": Family(
        falcon_block,
        lambda config: 2 * config.hidden,
        is_tied=True,
        is_gated=False,
        defaults={"multi_query": True, "parallel_attn": True},
    ),
    "bert": Family(bert_block, bert_rest, has_head=False, is_gated=False, defaults={"type_vocab_size": 2}),
    "modernbert": Family(modernbert_block, modernbert_rest, has_head=False),
}
"""Families by transformers' `model_type`."""
