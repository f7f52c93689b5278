"""The blocks of Gemma 3n and 4: each block has its own embeddings, and some blocks read the keys and values
of earlier ones."""

from cluster.planning.blocks import expert_slot, gated_feed_forward
from cluster.planning.parts import Config, Part, attended, linear


def per_layer_embeddings(config: Config) -> int:
    """Returns the weights of the blocks' own embeddings."""
    width = config.get("hidden_size_per_layer_input")
    return config.size("vocab_size_per_layer_input") * config.layers * width if width else 0


def gemma3n_block(config: Config, number: int) -> Part:
    """A block with alternating updates (arXiv:2301.13310) and LAuReL (arXiv:2411.07501)."""
    hidden, streams, rank = config.hidden, config.size("altup_num_inputs"), config.size("laurel_rank")
    sizes = config.get("intermediate_size")
    size = sizes[number] if isinstance(sizes, list) else sizes
    scale = hidden if config.flag("altup_correct_scale") else 0
    return (
        _attention(config, number, config.head_dim, config.key_value_heads)
        + gated_feed_forward(config, size)
        + _input(config)
        + linear("altup.modality_router", streams, hidden)
        + linear("altup.correction_coefs", streams, streams, adapted=False)
        + linear("altup.prediction_coefs", streams * streams, streams, adapted=False)
        + linear("laurel.linear_left", rank, hidden)
        + linear("laurel.linear_right", hidden, rank)
        + Part(rest=6 * hidden + scale)
    )


def gemma3n_rest(config: Config) -> Part:
    count = config.size("altup_num_inputs") - 1
    projections = Part()
    for _ in range(count):
        projections += linear("altup_projections", config.hidden, config.hidden)
        projections += linear("altup_unembed_projections", config.hidden, config.hidden)
    return gemma4_rest(config) + projections


def gemma4_block(config: Config, number: int) -> Part:
    hidden, size = config.hidden, config.size("intermediate_size")
    is_shared = _reads_earlier(config, number)
    size *= 2 if config.flag("use_double_wide_mlp") and is_shared else 1
    width, heads = _full_attention(config, number)
    block = _attention(config, number, width, heads) + gated_feed_forward(config, size)
    if config.flag("enable_moe_block"):
        count, used = config.size("num_experts"), config.size("top_k_experts")
        width = config.size("moe_intermediate_size")
        block += linear("router.proj", count, hidden)
        block += Part(experts=count * 3 * hidden * width, rest=4 * hidden + count, feed_forward=used * width)
        block += Part(experts_per_token=used)
        block += expert_slot(count, hidden, width)
    return block + _input(config) + Part(rest=4 * hidden)


def gemma4_rest(config: Config) -> Part:
    """Returns the last norm, and what makes the blocks' own inputs."""
    hidden, width = config.hidden, config.get("hidden_size_per_layer_input")
    if not width:
        return Part(rest=hidden)
    return linear("per_layer_model_projection", config.layers * width, hidden) + Part(rest=hidden + width)


def _input(config: Config) -> Part:
    """The block's own input."""
    hidden, width = config.hidden, config.get("hidden_size_per_layer_input")
    if not width:
        return Part()
    return (
        linear("per_layer_input_gate", width, hidden)
        + linear("per_layer_projection", hidden, width)
        + Part(rest=hidden)
    )


def _attention(config: Config, number: int, width: int, key_value_heads: int) -> Part:
    hidden, heads = config.hidden, config.heads
    queries, bias = heads * width, config.flag("attention_bias")
    attention = linear("self_attn.q_proj", queries, hidden, bias=bias)
    attention += linear("self_attn.o_proj", hidden, queries, bias=bias) + Part(rest=width)
    if _reads_earlier(config, number):
        return attention + Part(queries=queries)
    keys, window = key_value_heads * width, config.window(number)
    attention += linear("self_attn.k_proj", keys, hidden, bias=bias) + Part(rest=width)
    if window is not None or not config.flag("attention_k_eq_v"):
        attention += linear("self_attn.v_proj", keys, hidden, bias=bias)
    return attention + attended(heads, width, key_value_heads, window=window)


def _full_attention(config: Config, number: int) -> tuple[int, int]:
    """Returns the width and the number of key and value heads, which differ in layers whose attention sees
    everything."""
    named = config.get("per_layer_config")
    if named is not None:
        own = named.get(str(number), {})
        return own.get("head_dim", config.head_dim), own.get("num_key_value_heads", config.key_value_heads)
    if config.window(number) is not None:
        return config.head_dim, config.key_value_heads
    few = config.get("num_global_key_value_heads") if config.flag("attention_k_eq_v") else None
    return config.size("global_head_dim"), few or config.key_value_heads


def _reads_earlier(config: Config, number: int) -> bool:
    return number >= config.layers - int(config.get("num_kv_shared_layers") or 0)
