"""Attention and feed-forward layers of the model families, as counts of weights."""

from typing import Literal

from cluster.planning.parts import Config, Part, attended, linear

_CHUNK = 64
"""Number of tokens that the delta rule computes at once."""
QueryKeyNorm = Literal["head", "whole"] | None
"""Norm over each head's queries and keys, or over those of all heads together."""


def grouped_attention(
    config: Config,
    number: int,
    *,
    bias: bool = False,
    output_bias: bool = False,
    norm: QueryKeyNorm = None,
    has_gate: bool = False,
    output: str = "o_proj",
) -> Part:
    """Separate projections for queries, keys and values, with fewer heads for the latter two. `has_gate`
    doubles the queries' projection (Qwen3-Next)."""
    hidden, width = config.hidden, config.head_dim
    queries, keys = config.heads * width, config.key_value_heads * width
    norms = {None: 0, "head": 2 * width, "whole": queries + keys}[norm]
    return (
        linear("self_attn.q_proj", (1 + has_gate) * queries, hidden, bias=bias)
        + linear("self_attn.k_proj", keys, hidden, bias=bias)
        + linear("self_attn.v_proj", keys, hidden, bias=bias)
        + linear(f"self_attn.{output}", hidden, queries, bias=output_bias)
        + attended(config.heads, width, config.key_value_heads, window=config.window(number))
        + Part(rest=norms)
    )


def fused_attention(
    config: Config,
    number: int,
    name: str,
    *,
    output: str,
    key_value_heads: int | None = None,
    bias: bool = False,
) -> Part:
    """One projection for queries, keys and values."""
    heads, width = config.heads, config.head_dim
    shared = config.key_value_heads if key_value_heads is None else key_value_heads
    return (
        linear(name, (heads + 2 * shared) * width, config.hidden, bias=bias)
        + linear(output, config.hidden, heads * width, bias=bias)
        + attended(heads, width, shared, window=config.window(number))
    )


def latent_attention(config: Config) -> Part:
    """DeepSeek's multi-head latent attention (arXiv:2405.04434, section 2.1)."""
    hidden, heads = config.hidden, config.heads
    rotary, plain = config.size("qk_rope_head_dim"), config.size("qk_nope_head_dim")
    values, latent = config.size("v_head_dim"), config.size("kv_lora_rank")
    queries = heads * (rotary + plain)
    if (rank := config.get("q_lora_rank")) is None:
        query = linear("self_attn.q_proj", queries, hidden)
    else:
        query = linear("self_attn.q_a_proj", rank, hidden) + linear("self_attn.q_b_proj", queries, rank)
        query += Part(rest=rank)
    return (
        query
        + linear("self_attn.kv_a_proj_with_mqa", latent + rotary, hidden)
        + linear("self_attn.kv_b_proj", heads * (plain + values), latent)
        + linear("self_attn.o_proj", hidden, heads * values)
        + Part(rest=latent, queries=queries, key_values=queries + heads * values)
        # All heads share one latent vector and one rotated key (section 2.1.3).
        + Part(cache=((1, latent + rotary, None, 0),))
    )


def linear_attention(config: Config) -> Part:
    """The gated delta rule of Qwen3-Next."""
    hidden = config.hidden
    key_heads, value_heads = config.size("linear_num_key_heads"), config.size("linear_num_value_heads")
    value_width = config.size("linear_value_head_dim")
    keys, values = key_heads * config.size("linear_key_head_dim"), value_heads * value_width
    convolution = (2 * keys + values) * config.size("linear_conv_kernel_dim")
    state = convolution + config.size("linear_key_head_dim") * values
    return (
        linear("linear_attn.in_proj_qkvz", 2 * keys + 2 * values, hidden)
        + linear("linear_attn.in_proj_ba", 2 * value_heads, hidden)
        + linear("linear_attn.out_proj", hidden, values)
        + Part(rest=convolution + 2 * value_heads + value_width, queries=values, key_values=2 * keys)
        + Part(cache=((value_heads, 0, None, state),))
        # A token's scores with the others in its chunk, and what is made of keys and values.
        + Part(recurrent=8 * value_heads * _CHUNK + 13 * values)
    )


def gated_feed_forward(
    config: Config, size: int, *, bias: bool = False, name: str = "mlp", adapted: bool = True
) -> Part:
    hidden = config.hidden
    return (
        linear(f"{name}.gate_proj", size, hidden, bias=bias, adapted=adapted)
        + linear(f"{name}.up_proj", size, hidden, bias=bias, adapted=adapted)
        + linear(f"{name}.down_proj", hidden, size, bias=bias, adapted=adapted)
        + Part(feed_forward=size)
    )


def plain_feed_forward(config: Config, size: int, names: tuple[str, str], *, bias: bool = True) -> Part:
    first, second = names
    return (
        linear(first, size, config.hidden, bias=bias)
        + linear(second, config.hidden, size, bias=bias)
        + Part(feed_forward=size)
    )


def experts(
    config: Config,
    count: int,
    size: int,
    *,
    used: int,
    bias: bool = False,
    adapted: bool = True,
    is_fused: bool = False,
) -> Part:
    """Gated feed-forward layers, stacked, with a router that sends each token to `used` of them. `adapted`:
    whether PEFT counts them among the linear layers. `is_fused` is as in `expert_slot`."""
    hidden = config.hidden
    each = 3 * hidden * size + (2 * size + hidden if bias else 0)
    router = count * hidden + (count if bias else 0)
    # PEFT adapts the two stacked tensors of each expert, of which the first counts twice, and the router.
    adapter = count * (2 * (hidden + 2 * size) + size + hidden) + hidden + count if adapted else 0
    return Part(
        experts=count * each,
        expert_adapter=adapter,
        experts_per_token=used,
        rest=router,
        feed_forward=used * size,
    ) + expert_slot(count, hidden, size, is_fused=is_fused)


def expert_slot(count: int, hidden: int, size: int, *, is_gated: bool = True, is_fused: bool = False) -> Part:
    """Returns what vLLM reserves for an adapter of rank 1 on `count` experts and their router
    (FusedMoEWithLoRA in its `lora/layers/fused_moe.py`), whether or not an adapter names them. `is_fused`:
    one pair of matrices adapts both projections of the input, as for gpt-oss."""
    inputs = 2 if is_gated and not is_fused else 1
    whole = count * (inputs + 1) * hidden + hidden + count
    return Part(expert_slot_whole=whole, expert_slot_shared=count * (3 if is_gated else 2) * size)
