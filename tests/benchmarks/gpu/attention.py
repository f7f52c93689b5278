"""Attention over examples in one row, beside torch's own on each example alone, with all kinds of heads.

Both are compared with the same in fp32. Ours may be twice as far from it as torch's, forward and backward."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cluster.training.model.attention import Segments, segment_attention
from tests.benchmarks.gpu.sizes import Finding, Findings, Setting, rounded
from tests.benchmarks.gpu.timing import milliseconds

_MODULE = torch.nn.Module()


class Heads(NamedTuple):
    query: Tensor
    key: Tensor
    value: Tensor


def run(setting: Setting) -> Findings:
    for width in setting.sizes.widths:
        for window in (None, setting.sizes.window):
            yield _compare(setting, width, window)


def _compare(setting: Setting, width: int, window: int | None) -> Finding:
    sizes, device = setting.sizes, setting.device
    segments = Segments.of(list(sizes.segments), device)
    heads = _heads(setting, width)
    ours = partial(_ours, segments=segments, window=window)
    theirs = partial(_one_by_one, lengths=list(sizes.segments), window=window)
    exact = _with_gradients(theirs, Heads(*(each.float() for each in heads)))
    our_errors = _errors(_with_gradients(ours, heads), exact)
    their_errors = _errors(_with_gradients(theirs, heads), exact)
    is_good = all(mine <= 2 * other + 1e-4 for mine, other in zip(our_errors, their_errors, strict=True))
    figures: dict[str, object] = {
        "error": [rounded(each) for each in our_errors],
        "sdpa_error": [rounded(each) for each in their_errors],
        "milliseconds": milliseconds(lambda: _with_gradients(ours, heads), device),
        "sdpa_milliseconds": milliseconds(lambda: _with_gradients(theirs, heads), device),
    }
    kind = "window" if window else "full"
    return Finding(f"{sizes.heads[0]}/{sizes.heads[1]} heads of {width}, {kind}", is_good, figures)


def _heads(setting: Setting, width: int) -> Heads:
    """(1, heads, T, width), bf16."""
    torch.manual_seed(0)
    queries, keys = setting.sizes.heads
    shapes = [(1, count, sum(setting.sizes.segments), width) for count in (queries, keys, keys)]
    return Heads(*(torch.randn(shape, device=setting.device, dtype=torch.bfloat16) for shape in shapes))


def _ours(heads: Heads, *, segments: Segments, window: int | None) -> Tensor:
    return segment_attention(_MODULE, *heads, None, sliding_window=window, segments=segments)[0]


def _one_by_one(heads: Heads, *, lengths: list[int], window: int | None) -> Tensor:
    parts = []
    for query, key, value in zip(*(each.split(lengths, 2) for each in heads), strict=True):
        length = query.shape[2]
        seen = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
        mask = None if window is None else seen.triu(1 - window)
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, enable_gqa=True
        )
        parts.append(attended.transpose(1, 2))
    return torch.cat(parts, 1)


def _with_gradients(attend: partial[Tensor], heads: Heads) -> list[Tensor]:
    """The result, and the gradients of queries, keys and values."""
    leaves = Heads(*(each.detach().requires_grad_() for each in heads))
    found = attend(leaves)
    weights = torch.linspace(-1, 1, found.shape[1], device=found.device)[None, :, None, None]
    (found.float() * weights).sum().backward()
    return [found.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def _errors(found: list[Tensor], exact: list[Tensor]) -> list[float]:
    """The norms of the differences, as shares of the norms."""
    return [float((a.float() - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]
