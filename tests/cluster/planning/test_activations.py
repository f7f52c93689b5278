"""What attention keeps beside queries, keys and values counts for the plan."""

from functools import partial
from typing import Any

from cluster.contracts.model_shape import ModelShape
from cluster.planning.activations import Precision, activation_bytes
from cluster.planning.shapes import shape_of

TOKENS = 8192
SIZES = {
    "hidden_size": 1024,
    "intermediate_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 32000,
}


def shape(**fields: Any) -> ModelShape:
    found = shape_of({**SIZES, **fields})
    assert found is not None
    return found


def kept(shape: ModelShape, *, longest: int = 64) -> int:
    """By a pass of LoRA without recomputation, in bytes."""
    return activation_bytes(
        shape,
        Precision(2, 2, is_autocast=False),
        is_full=False,
        rank=16,
        trains_experts=False,
        is_checkpointed=False,
        is_offloaded=False,
        tokens=TOKENS,
        longest=longest,
    )


def test_layers_with_sinks_share_two_masks() -> None:
    sinks = partial(shape, model_type="gpt_oss", num_local_experts=8, num_experts_per_tok=2)
    for layers in (12, 24):
        counted = sinks(num_hidden_layers=layers)
        masks = kept(counted, longest=TOKENS) - kept(counted)
        assert masks == 2 * 2 * TOKENS * (TOKENS - 64)


def test_keys_and_values_that_are_repeated_for_every_head_count_for_each() -> None:
    narrow = shape(model_type="gemma4_text", global_head_dim=256, sliding_window_pattern=1)
    wide = shape(model_type="gemma4_text", global_head_dim=512, sliding_window_pattern=1)
    queries, layers = 16 * 512, SIZES["num_hidden_layers"]
    # Queries and what attention returns of twice the width, which the next layer's adapter keeps as well, and
    # keys and values of sixteen heads instead of two.
    more = 3 * queries // 2 + 2 * queries - 2 * 2 * 256
    assert kept(wide) - kept(narrow) == 2 * TOKENS * layers * more
