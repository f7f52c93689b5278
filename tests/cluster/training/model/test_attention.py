"""Attention asks torch for what its fused kernels compute: they keep no scores for the backward pass."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from cluster.training.model.attention import Segments, segment_attention


class Asked(TorchFunctionMode):
    """Keeps what torch's attention is called with, and answers without computing it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor, dict[str, Any]]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is functional.scaled_dot_product_attention:
            query, key, value = args
            self.calls.append((query, key, kwargs or {}))
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    """One that has no memory."""
    with FakeTensorMode():
        yield torch.device("cuda")


def states(device: torch.device, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Four heads of queries and two of keys, for 32 tokens."""
    query, key = (torch.zeros(1, heads, 32, width, device=device, dtype=dtype) for heads in (4, 2))
    return query, key, key.clone()


@pytest.mark.parametrize(
    ("width", "dtype", "options", "heads"),
    [
        (64, torch.bfloat16, {}, 2),
        (256, torch.bfloat16, {}, 2),
        # The layers of Gemma 4 that see everything.
        (512, torch.bfloat16, {}, 4),
        (64, torch.float32, {}, 4),
        (64, torch.bfloat16, {"sliding_window": 8}, 4),
    ],
)
def test_heads_share_keys_on_a_gpu_only_where_flash_attention_computes_them(
    gpu: torch.device, width: int, dtype: torch.dtype, options: dict[str, Any], heads: int
) -> None:
    with Asked() as asked:
        segment_attention(nn.Module(), *states(gpu, width, dtype), None, **options)
    [(_, key, given)] = asked.calls
    assert key.shape[1] == heads
    assert given["enable_gqa"] == (heads == 2)
    assert given["is_causal"] == (given["attn_mask"] is None)


@pytest.mark.parametrize("sinks", [None, torch.zeros(4)], ids=["plain", "sinks"])
def test_layers_share_one_mask_and_kernels_need_no_copy_of_it(sinks: Tensor | None) -> None:
    segments = Segments.of([12, 20], torch.device("cpu"))
    with Asked() as asked:
        for _ in range(3):
            segment_attention(
                nn.Module(),
                *states(torch.device("cpu"), 8, torch.float32),
                None,
                sliding_window=4,
                segments=segments,
                s_aux=sinks,
            )
    masks = [given["attn_mask"] for _, _, given in asked.calls]
    assert len({mask.data_ptr() for mask in masks}) == 2
    assert all(mask.stride(0) % 16 == 0 for mask in masks)
    for mask in masks[:2]:
        length = mask.shape[0]
        rows, columns = torch.arange(length)[:, None], torch.arange(length)
        seen = (columns <= rows) & (columns > rows - 4)
        expected = torch.zeros(length, length).masked_fill(~seen, float("-inf"))
        extra = 0 if sinks is None else 1
        torch.testing.assert_close(mask, functional.pad(expected, (extra, 0)))
