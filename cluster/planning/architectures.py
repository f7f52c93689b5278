"""The blocks of families that are not built in Llama's way, and weights outside of blocks."""

from cluster.planning.blocks import (
    experts,
    fused_attention,
    gated_feed_forward,
    grouped_attention,
    latent_attention,
    linear_attention,
    plain_feed_forward,
)
from cluster.planning.parts import Config, Part, linear


def dense(config: Config, _: int, *, adapted: bool = True) -> Part:
    size, bias = config.size("intermediate_size"), config.flag("mlp_bias")
    return gated_feed_forward(config, size, bias=bias, adapted=adapted)


def sparse(config: Config, number: int) -> Part:
    """Makes experts for every block, or for those that the configuration names. If a model has experts, PEFT
    takes the names of feed-forward layers to be those of the experts, and adapts no others."""
    step = int(config.get("decoder_sparse_step") or 1)
    if number in (config.get("mlp_only_layers") or ()) or (number + 1) % step:
        return dense(config, number, adapted=False)
    count = config.size("num_experts", "num_local_experts")
    size = config.size("moe_intermediate_size", "intermediate_size")
    part = experts(config, count, size, used=config.size("num_experts_per_tok"))
    if shared := config.get("shared_expert_intermediate_size"):
        part += gated_feed_forward(config, shared, name="mlp.shared_expert", adapted=False)
        part += linear("mlp.shared_expert_gate", 1, config.hidden)
    return part


def gpt_oss_block(config: Config, number: int) -> Part:
    used, size = config.size("num_experts_per_tok", "experts_per_token"), config.size("intermediate_size")
    count = config.size("num_local_experts")
    feed_forward = experts(config, count, size, used=used, bias=True, adapted=False, is_fused=True)
    sinks = config.heads
    # For the sinks, a number is added to each key and query, and their width is rounded up. Layers with a
    # window share one mask, and layers without a window another one.
    kept = Part(repeated=2 * config.heads * (config.head_dim + 8), masks=2)
    return (
        grouped_attention(config, number, bias=True, output_bias=True)
        + feed_forward
        + Part(rest=2 * config.hidden + sinks)
        + kept
    )


def deepseek_block(config: Config, number: int) -> Part:
    if number < int(config.get("first_k_dense_replace") or 0):
        feed_forward = dense(config, number, adapted=False)
    else:
        size, used = config.size("moe_intermediate_size"), config.size("num_experts_per_tok")
        feed_forward = experts(config, config.size("n_routed_experts"), size, used=used)
        if shared := config.get("n_shared_experts"):
            feed_forward += gated_feed_forward(
                config, size * shared, name="mlp.shared_experts", adapted=False
            )
    return latent_attention(config) + feed_forward + Part(rest=2 * config.hidden)


def qwen3_next_block(config: Config, number: int) -> Part:
    kind = config.kind(number)
    is_linear = (number + 1) % 4 != 0 if kind is None else kind == "linear_attention"
    attention = (
        linear_attention(config)
        if is_linear
        else grouped_attention(config, number, norm="head", has_gate=True)
    )
    return attention + sparse(config, number) + Part(rest=2 * config.hidden)


def phi3_block(config: Config, number: int) -> Part:
    size, hidden = config.size("intermediate_size"), config.hidden
    return (
        fused_attention(config, number, "self_attn.qkv_proj", output="self_attn.o_proj")
        + linear("mlp.gate_up_proj", 2 * size, hidden)
        + linear("mlp.down_proj", hidden, size)
        + Part(rest=2 * hidden, feed_forward=size)
    )


def phi_block(config: Config, number: int) -> Part:
    attention = grouped_attention(config, number, bias=True, output_bias=True, output="dense")
    norms = 2 * config.hidden + (4 * config.head_dim if config.flag("qk_layernorm") else 0)
    feed_forward = plain_feed_forward(config, config.size("intermediate_size"), ("mlp.fc1", "mlp.fc2"))
    return attention + feed_forward + Part(rest=norms)


def gpt2_block(config: Config, number: int) -> Part:
    size = int(config.get("n_inner") or 4 * config.hidden)
    attention = fused_attention(config, number, "attn.c_attn", output="attn.c_proj", bias=True)
    return (
        attention
        + plain_feed_forward(config, size, ("mlp.c_fc", "mlp.c_proj"))
        + Part(rest=4 * config.hidden)
    )


def opt_block(config: Config, number: int) -> Part:
    bias = config.flag("enable_bias")
    attention = grouped_attention(config, number, bias=bias, output_bias=bias, output="out_proj")
    feed_forward = plain_feed_forward(config, config.size("ffn_dim"), ("fc1", "fc2"), bias=bias)
    return attention + feed_forward + Part(rest=4 * config.hidden)


def neox_block(config: Config, number: int) -> Part:
    bias, size = config.flag("attention_bias"), config.size("intermediate_size")
    attention = fused_attention(
        config, number, "attention.query_key_value", output="attention.dense", bias=bias
    )
    feed_forward = plain_feed_forward(config, size, ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"))
    return attention + feed_forward + Part(rest=4 * config.hidden)


def falcon_block(config: Config, number: int) -> Part:
    bias, is_new = config.flag("bias"), config.flag("new_decoder_architecture")
    if is_new:
        key_value_heads = config.size("num_kv_heads")
    else:
        key_value_heads = 1 if config.flag("multi_query") else config.heads
    norms = 2 if (config.get("num_ln_in_parallel_attn") or 2) == 2 and is_new else 1
    if not is_new and not config.flag("parallel_attn"):
        norms = 2
    size = int(config.get("ffn_hidden_size") or 4 * config.hidden)
    attention = fused_attention(
        config,
        number,
        "self_attention.query_key_value",
        output="self_attention.dense",
        key_value_heads=key_value_heads,
        bias=bias,
    )
    names = ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
    return (
        attention + plain_feed_forward(config, size, names, bias=bias) + Part(rest=2 * norms * config.hidden)
    )


def bert_block(config: Config, _: int) -> Part:
    hidden, size = config.hidden, config.size("intermediate_size")
    attention = Part()
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        attention += linear(f"attention.{name}", hidden, hidden, bias=True)
    feed_forward = plain_feed_forward(config, size, ("intermediate.dense", "output.dense"))
    return attention + feed_forward + Part(rest=4 * hidden, queries=hidden, key_values=2 * hidden)


def bert_rest(config: Config) -> int:
    """Returns positions, types, their norm, and the pooler."""
    hidden = config.hidden
    positions = config.size("max_position_embeddings") + config.size("type_vocab_size")
    return positions * hidden + 2 * hidden + hidden * hidden + hidden


def modernbert_block(config: Config, number: int) -> Part:
    hidden, size = config.hidden, config.size("intermediate_size")
    bias = config.flag("attention_bias")
    feed_forward_bias = config.flag("mlp_bias")
    return (
        fused_attention(config, number, "attn.Wqkv", output="attn.Wo", bias=bias)
        + linear("mlp.Wi", 2 * size, hidden, bias=feed_forward_bias)
        + linear("mlp.Wo", hidden, size, bias=feed_forward_bias)
        # The first block uses the embeddings' norm as its own.
        + Part(rest=(1 if number == 0 else 2) * hidden, feed_forward=size)
    )


def modernbert_rest(config: Config) -> int:
    """The norms of embeddings and blocks, and the dense layer before the classes with its norm."""
    hidden = config.hidden
    return 3 * hidden + hidden * hidden
