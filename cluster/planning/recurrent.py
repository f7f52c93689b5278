"""The blocks of families in which state-space layers stand beside attention, or replace it."""

from cluster.planning.architectures import dense
from cluster.planning.blocks import (
    expert_slot,
    experts,
    gated_feed_forward,
    grouped_attention,
    plain_feed_forward,
)
from cluster.planning.parts import Config, Part, linear

_PATTERN = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}
"""Letters of Nemotron-H's `hybrid_override_pattern`."""
_RECURRENT = ("mamba", "linear_attention")


def jamba_block(config: Config, number: int) -> Part:
    is_attention = number % config.size("attn_layer_period") == config.get("attn_layer_offset")
    is_sparse = number % config.size("expert_layer_period") == config.get("expert_layer_offset")
    mixer = grouped_attention(config, number) if is_attention else _mamba(config)
    size, count = config.size("intermediate_size"), config.size("num_experts")
    if is_sparse and count > 1:
        used = config.size("num_experts_per_tok")
        feed_forward = experts(config, count, size, used=used, adapted=False)
    else:
        feed_forward = gated_feed_forward(config, size, name="feed_forward")
    return mixer + feed_forward + Part(rest=2 * config.hidden)


def falcon_h1_block(config: Config, number: int) -> Part:
    """Attention and a state-space layer side by side."""
    bias = config.flag("attention_bias")
    inner = int(config.get("mamba_d_ssm") or config.size("mamba_expand") * config.hidden)
    return (
        grouped_attention(config, number, bias=bias, output_bias=bias)
        + _mamba2(config, inner, has_norm=config.flag("mamba_rms_norm"))
        + dense(config, number)
        + Part(rest=2 * config.hidden)
    )


def granite_hybrid_block(config: Config, number: int) -> Part:
    hidden, bias = config.hidden, config.flag("attention_bias")
    if config.kind(number) in _RECURRENT:
        mixer = _mamba2(config, config.size("mamba_expand") * hidden, has_norm=True)
    else:
        mixer = grouped_attention(config, number, bias=bias, output_bias=bias)
    shared = config.size("shared_intermediate_size")
    feed_forward = (
        linear("shared_mlp.input_linear", 2 * shared, hidden)
        + linear("shared_mlp.output_linear", hidden, shared)
        + Part(feed_forward=shared)
    )
    if count := config.get("num_local_experts"):
        size, used = config.size("intermediate_size"), config.size("num_experts_per_tok")
        feed_forward += experts(config, count, size, used=used, adapted=False)
    return mixer + feed_forward + Part(rest=2 * hidden)


def nemotron_kinds(config: Config) -> list[str]:
    """Returns what each block of Nemotron-H is."""
    kinds = config.get("layers_block_type", "layer_types")
    return list(kinds) if kinds else [_PATTERN[letter] for letter in config.get("hybrid_override_pattern")]


def nemotron_block(config: Config, number: int) -> Part:
    """Each block has one layer: a state-space layer, attention, or a feed-forward layer."""
    kind, bias = nemotron_kinds(config)[number], config.flag("mlp_bias")
    names = ("mixer.up_proj", "mixer.down_proj")
    if kind in _RECURRENT:
        inner = config.size("mamba_num_heads") * config.size("mamba_head_dim")
        part = _mamba2(config, inner, has_norm=True)
    elif kind == "mlp":
        part = plain_feed_forward(config, config.size("intermediate_size"), names, bias=bias)
    elif kind == "moe":
        part = _nemotron_experts(config)
    else:
        asked = config.flag("attention_bias")
        part = grouped_attention(config, number, bias=asked, output_bias=asked)
    return part + Part(rest=config.hidden)


def _nemotron_experts(config: Config) -> Part:
    """Experts without gates, and with an untrained correction of the router's scores for each expert."""
    hidden, bias = config.hidden, config.flag("mlp_bias")
    latent, size = config.get("moe_latent_size"), config.size("moe_intermediate_size")
    count, shared = config.size("n_routed_experts"), config.size("moe_shared_expert_intermediate_size")
    names = ("mixer.shared_experts.up_proj", "mixer.shared_experts.down_proj")
    part = plain_feed_forward(config, shared, names, bias=bias)
    if latent is not None:
        part += linear("mixer.fc1_latent_proj", latent, hidden, bias=bias)
        part += linear("mixer.fc2_latent_proj", hidden, latent, bias=bias)
    used = config.size("num_experts_per_tok")
    weights = count * 2 * (latent or hidden) * size
    part += Part(experts=weights, experts_per_token=used, rest=count * hidden, feed_forward=used * size)
    return part + expert_slot(count, latent or hidden, size, is_gated=False)


def _mamba(config: Config) -> Part:
    """Mamba's selective state spaces (arXiv:2312.00752), with Jamba's norms."""
    hidden, states = config.hidden, config.size("mamba_d_state")
    inner, kernel = config.size("mamba_expand") * hidden, config.size("mamba_d_conv")
    rank = config.get("mamba_dt_rank")
    steps = -(-hidden // 16) if rank in (None, "auto") else int(rank)
    bias = config.flag("mamba_proj_bias")
    kept = inner * (kernel + states)
    convolution = inner * kernel + (inner if config.flag("mamba_conv_bias") else 0)
    return (
        linear("mamba.in_proj", 2 * inner, hidden, bias=bias)
        + linear("mamba.x_proj", steps + 2 * states, inner)
        + linear("mamba.dt_proj", inner, steps, bias=True, adapted=False)
        + linear("mamba.out_proj", hidden, inner, bias=bias)
        + Part(rest=convolution + inner * states + inner + steps + 2 * states)
        + Part(queries=inner, key_values=2 * inner, cache=((inner, 0, None, kept),))
        # Decays, inputs, states and outputs of the scan, each for every state.
        + Part(recurrent=4 * inner * states)
    )


def _mamba2(config: Config, inner: int, *, has_norm: bool) -> Part:
    """Mamba-2's state-space layer (arXiv:2405.21060). Its kernels read the output projection's weights
    directly, past an adapter."""
    heads, states = (
        config.size("mamba_n_heads", "mamba_num_heads"),
        config.size("mamba_d_state", "ssm_state_size"),
    )
    groups, kernel = config.size("mamba_n_groups", "n_groups"), config.size("mamba_d_conv", "conv_kernel")
    convolved = inner + 2 * groups * states
    bias = config.flag("mamba_proj_bias", "use_bias")
    convolution = convolved * kernel + (convolved if config.flag("mamba_conv_bias", "use_conv_bias") else 0)
    kept = convolved * kernel + inner * states
    return (
        linear("mamba.in_proj", inner + convolved + heads, config.hidden, bias=bias)
        + linear("mamba.out_proj", config.hidden, inner, bias=bias, adapted=False)
        + Part(rest=convolution + 3 * heads + (inner if has_norm else 0))
        + Part(queries=inner, key_values=2 * inner, cache=((heads, 0, None, kept),))
        # A token's decays and scores with the others in its chunk.
        + Part(recurrent=4 * heads * config.size("mamba_chunk_size", "chunk_size") + 3 * inner)
    )
