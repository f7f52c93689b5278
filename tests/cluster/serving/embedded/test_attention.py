from typing import Any

import pytest
import torch
from transformers import Gemma2Config, GPTNeoConfig, LlamaConfig, MistralConfig, Qwen3Config, Qwen3NextConfig

from cluster.serving.embedded.attention import Attention, implementation, parity_check_length, read_attention

POSITIONS = torch.tensor([[5], [3]])


def _seen(attention: Attention) -> Any:
    mask = attention.decode_mask(POSITIONS, 6)
    assert isinstance(mask, torch.Tensor)
    assert mask.shape == (2, 1, 1, 6)
    return mask[:, 0, 0].tolist()


def test_each_row_sees_its_own_tokens_and_no_others() -> None:
    assert _seen(Attention({"full_attention": None}, None)) == [[True] * 6, [True] * 4 + [False] * 2]


def test_a_window_counts_the_newest_token() -> None:
    seen = _seen(Attention({"sliding_attention": 2}, None))
    assert seen == [[False] * 4 + [True] * 2, [False] * 2 + [True] * 2 + [False] * 2]


def test_the_eager_mask_is_zero_where_visible_and_the_lowest_number_elsewhere() -> None:
    least = torch.finfo(torch.bfloat16).min
    assert _seen(Attention({"full_attention": None}, torch.bfloat16)) == [[0.0] * 6, [0.0] * 4 + [least] * 2]


def test_a_model_of_several_kinds_of_layers_gets_a_mask_for_each() -> None:
    masks = Attention({"full_attention": None, "sliding_attention": 2}, None).decode_mask(POSITIONS, 6)
    assert isinstance(masks, dict)
    assert [int(mask.sum()) for mask in masks.values()] == [10, 4]


@pytest.mark.parametrize(
    ("config", "windows"),
    [
        (LlamaConfig(), {"full_attention": None}),
        (MistralConfig(sliding_window=9), {"sliding_attention": 9}),
        (MistralConfig(sliding_window=None), {"full_attention": None}),
        (Qwen3Config(), {"full_attention": None}),
        (
            Gemma2Config(num_hidden_layers=2, sliding_window=9),
            {"full_attention": None, "sliding_attention": 9},
        ),
    ],
)
def test_windows_are_those_of_the_configuration(config: Any, windows: dict[str, int | None]) -> None:
    found = read_attention(config, torch.float32)
    assert found is not None
    assert found.windows == windows


def test_layers_without_keys_are_not_treated_as_attention() -> None:
    assert read_attention(Qwen3NextConfig(), torch.float32) is None


def test_capped_scores_need_eager_attention() -> None:
    assert implementation(Gemma2Config()) == "eager"
    assert implementation(Gemma2Config(attn_logit_softcapping=None)) is None
    assert implementation(LlamaConfig()) is None


def test_a_parity_check_reaches_beyond_a_window_unless_that_is_long() -> None:
    assert parity_check_length(MistralConfig(sliding_window=100)) > 100
    assert parity_check_length(GPTNeoConfig(window_size=256)) > 256
    assert parity_check_length(MistralConfig(sliding_window=4096)) < 100
