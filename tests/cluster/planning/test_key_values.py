"""What a sequence keeps is what transformers' own caches hold, and what vLLM counts when it starts."""

import json
from typing import Any

import pytest
import torch

from cluster.contracts.model_shape import CacheShape, ModelShape
from cluster.planning.key_values import KeyValues
from cluster.planning.shapes import shape_of
from tests.families import FAMILIES
from tests.family_support import DECODERS

TOKENS = 24
"""More than the windows of the families' models."""
GROUPED = "falcon_new"
"""transformers keeps keys and values of all heads, vLLM those of the groups that share them."""


def shape(fields: dict[str, Any]) -> ModelShape:
    found = shape_of(fields)
    assert found is not None
    return found


@pytest.mark.parametrize("name", sorted(set(DECODERS) - {GROUPED}))
def test_layers_keep_as_many_numbers_as_in_transformers(name: str) -> None:
    model, kept = after_some_tokens(name)
    assert kept == sum(kind.count * numbers(kind) for kind in cache_of(model))


def test_heads_that_share_keys_and_values_keep_them_once() -> None:
    model, kept = after_some_tokens(GROUPED)
    config = model.config
    assert config.num_kv_heads < config.num_attention_heads
    groups = kept * config.num_kv_heads // config.num_attention_heads
    assert groups == sum(kind.count * numbers(kind) for kind in cache_of(model))
    assert {kind.heads for kind in cache_of(model)} == {config.num_kv_heads}


def after_some_tokens(name: str) -> tuple[Any, int]:
    """A model of the family, and how many numbers it keeps of TOKENS tokens."""
    common = {"vocab_size": 352, "max_position_embeddings": 128, "pad_token_id": 0, "eos_token_id": 1}
    model = FAMILIES[name]({**common, "bos_token_id": None}).eval()
    with torch.no_grad():
        kept = model(torch.arange(2, 2 + TOKENS)[None], use_cache=True).past_key_values
    return model, sum(tensor.numel() for tensor in tensors(kept))


def cache_of(model: Any) -> tuple[CacheShape, ...]:
    return shape(json.loads(model.config.to_json_string())).cache


def numbers(kind: CacheShape) -> int:
    tokens = TOKENS if kind.window is None else min(TOKENS, kind.window - 1)
    return kind.per_token * tokens + kind.state


def tensors(cache: Any) -> list[torch.Tensor]:
    """Of all layers: keys, values, and the states of recurrent ones."""
    held = [value for layer in cache.layers for value in vars(layer).values()]
    flat = [value for each in held for value in (each.values() if isinstance(each, dict) else [each])]
    return [value for value in flat if isinstance(value, torch.Tensor) and value.ndim > 1]


DEEPSEEK_V3 = {
    "model_type": "deepseek_v3",
    "vocab_size": 129280,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
GEMMA_3_27B = {
    "model_type": "gemma3_text",
    "vocab_size": 262208,
    "hidden_size": 5376,
    "intermediate_size": 21504,
    "num_hidden_layers": 62,
    "num_attention_heads": 32,
    "num_key_value_heads": 16,
    "head_dim": 128,
    "sliding_window": 1024,
}
GPT_OSS_20B = {
    "model_type": "gpt_oss",
    "vocab_size": 201088,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
}


def test_latent_attention_keeps_one_vector_a_token_on_each_device() -> None:
    """DeepSeek-V3: 512 + 64 numbers in 61 layers, 70 kB a token in bf16, however many devices there are."""
    for devices in (1, 8):
        cache = KeyValues(shape(DEEPSEEK_V3), devices, 2, 8192)
        assert cache.bytes(4096) == 4096 * 61 * (512 + 64) * 2


def test_windows_bound_what_most_layers_keep() -> None:
    """As vLLM counts it: blocks of 16 tokens, of which a window needs one more. Gemma 3 has ten layers that
    see all and 52 that do not, in six groups of ten."""
    layer = 2 * 16 * 128 * 2
    cache = KeyValues(shape(GEMMA_3_27B), 1, 2, 8192)
    whole, window = 131072, (1023 + 8192 + 15) // 16 * 16 + 16
    assert cache.bytes(whole) == 10 * whole * layer + 60 * window * layer
    ordinary = 62 * whole * layer
    assert cache.bytes(whole) < 0.25 * ordinary
    # Both kinds of gpt-oss are in twelve layers each.
    cache = KeyValues(shape(GPT_OSS_20B), 2, 2, 8192)
    window = (127 + 8192 + 15) // 16 * 16 + 16
    assert cache.bytes(whole) == 12 * (whole + window) * (2 * 4 * 64 * 2)


def test_the_longest_sequence_in_some_room_is_found() -> None:
    cache = KeyValues(shape(GEMMA_3_27B), 1, 2, 2048)
    for tokens in (256, 4096, 100_000):
        assert cache.longest(cache.bytes(tokens), most=131072) == tokens // 16 * 16
        assert cache.longest(cache.bytes(tokens) - 1, most=131072) < tokens
    assert cache.longest(10**12, most=131072) == 131072
    assert cache.longest(0, most=131072) == 0
