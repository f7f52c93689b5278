"""Attention over examples that are packed end to end in one row. Each segment attends only to itself.

transformers calls `segment_attention` instead of its own function once a model's attention implementation is
IMPLEMENTATION. If `segments` is not among the forward's arguments, this is plain causal attention over each
row."""

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

IMPLEMENTATION = "tunery_segments"

_FLASH_WIDTH = 256
"""The largest head dimension that FlashAttention supports."""


class Segments:
    """Boundaries of the examples in a packed row. It is passed to a model's forward as `segments`, and
    transformers passes it on to every attention layer."""

    # FSDP copies dataclasses among a layer's arguments, with what they hold. All layers must get this object.

    def __init__(self, lengths: list[int], offsets: Tensor) -> None:
        self.lengths = lengths
        """The number of tokens in each segment, in order. Their sum is the row's length."""
        self.offsets = offsets
        """int32 (segments + 1,), on the model's device: where each segment begins, and where the row ends."""
        self.windows: list[int | None] = []
        """The sliding window that each attention layer received, in the order in which the layers ran."""
        self.masks: dict[tuple[Any, ...], Tensor] = {}
        """What `_mask` made for this row. Layers share them: each keeps its mask for the backward pass."""

    @classmethod
    def of(cls, lengths: list[int], device: torch.device) -> "Segments":
        ends = torch.tensor(lengths, device=device).cumsum(0)
        return cls(lengths, functional.pad(ends, (1, 0)).to(torch.int32))

    def to(self, device: torch.device) -> "Segments":
        return Segments(self.lengths, self.offsets.to(device, non_blocking=True))


def register(*, is_compiled: bool = False) -> None:
    """Registers IMPLEMENTATION with transformers. Idempotent. With `is_compiled`, torch.compile skips the
    function: otherwise the lengths of segments, which differ in every batch, would be compiled into the
    model."""
    from transformers import AttentionInterface

    function: Any = segment_attention
    if is_compiled:
        function = torch.compiler.disable(segment_attention)  # type: ignore[no-untyped-call]
    AttentionInterface.register(IMPLEMENTATION, function)


def segment_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    segments: Segments | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: maps query (B, heads, T, D), key (B, key heads, T, D) and value (B,
    key heads, T, V) to (B, T, heads, V). Causal; a token sees at most the last `sliding_window` tokens,
    itself included. `s_aux` (heads,) are the scores of attention sinks.

    Raises NotImplementedError for what it does not compute: masks, position biases, and sinks with a soft
    cap."""
    if attention_mask is not None or position_bias is not None or (s_aux is not None and softcap is not None):
        raise NotImplementedError("attention with a mask, a position bias, or sinks and a soft cap")
    if query.shape[2] != key.shape[2] or not getattr(module, "is_causal", True):
        raise NotImplementedError("attention that is not causal over one row")
    if torch.is_autocast_enabled(query.device.type):
        # Rotary embeddings in fp32 leave query and key in a wider type than value.
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    lengths = [query.shape[2]] if segments is None else segments.lengths
    if segments is not None:
        segments.windows.append(sliding_window)
    window = sliding_window if sliding_window is not None and sliding_window < max(lengths) else None
    is_flash = query.is_cuda and query.dtype != torch.float32 and softcap is None and not dropout
    is_flash = is_flash and s_aux is None and query.shape[-1] <= _FLASH_WIDTH
    if segments is not None and is_flash:
        return _varlen(query, key, value, segments, scaling, window), None
    parts = [
        _causal(
            q, k, v, segments, scaling=scaling, dropout=dropout, window=window, softcap=softcap, sinks=s_aux
        )
        for q, k, v in zip(*(torch.split(states, lengths, 2) for states in (query, key, value)), strict=True)
    ]
    return (parts[0] if len(parts) == 1 else torch.cat(parts, 2)).transpose(1, 2), None


def _causal(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments | None,
    *,
    scaling: float | None,
    dropout: float,
    window: int | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    if sinks is not None:
        return _with_sinks(
            query, key, value, sinks, segments, scaling=scaling, dropout=dropout, window=window
        )
    length = query.shape[2]
    if softcap is None:
        mask = None if window is None or length <= window else _mask(query, window, segments)
        is_grouped = query.shape[1] != key.shape[1]
        if is_grouped and query.is_cuda and not _shares_keys(query, mask):
            key, value, is_grouped = _repeated(key, query), _repeated(value, query), False
        return functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=mask is None,
            scale=scaling,
            enable_gqa=is_grouped,
        )
    seen = _band(length, window, query.device)
    # Gemma 2's attention (arXiv:2408.00118, section 2): each score becomes softcap * tanh(score / softcap).
    key, value = _repeated(key, query), _repeated(value, query)
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = softcap * torch.tanh(scores / softcap)
    weights = scores.masked_fill(~seen, float("-inf")).softmax(-1, dtype=torch.float32).to(query.dtype)
    return functional.dropout(weights, dropout) @ value


def _with_sinks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sinks: Tensor,
    segments: Segments | None,
    *,
    scaling: float | None,
    dropout: float,
    window: int | None,
) -> Tensor:
    """gpt-oss' attention: each head has a score of its own that takes part in the softmax and adds nothing to
    the sum.

    It is the score of an additional key whose value is zero. One element is appended to the width: 1 in each
    query, 0 in each key, and the sink divided by the scale in the additional key. torch's fused attention can
    then compute it."""
    rows, _, _, width = query.shape
    scale = width**-0.5 if scaling is None else scaling
    mask = _mask(query, window, segments, has_sink=True)
    key, value = _repeated(key, query), _repeated(value, query)
    # Kernels need widths that are multiples of 8.
    padding = 8 - width % 8
    query = functional.pad(functional.pad(query, (0, 1), value=1.0), (0, padding - 1))
    sink = functional.pad((sinks / scale).to(key.dtype)[:, None], (width, padding - 1))
    sink = sink[:, None].expand(rows, -1, -1, -1)
    key = torch.cat([sink, functional.pad(key, (0, padding))], 2)
    value = functional.pad(value, (0, 0, 1, 0))
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale
    )


def _shares_keys(query: Tensor, mask: Tensor | None) -> bool:
    """Whether torch has a GPU kernel in which several query heads share a key head: FlashAttention. Without
    it, torch would compute and keep all scores."""
    return mask is None and query.shape[-1] <= _FLASH_WIDTH and query.dtype != torch.float32


def _repeated(states: Tensor, query: Tensor) -> Tensor:
    """Repeats keys or values for each query head."""
    return states.repeat_interleave(query.shape[1] // states.shape[1], 1)


def _mask(query: Tensor, window: int | None, segments: Segments | None, *, has_sink: bool = False) -> Tensor:
    """Returns (T, T) in the type of the query (B, heads, T, D): 0 for the tokens (columns) that each token
    (row) sees, and -inf for the others. With `has_sink`, a column of zeros comes first."""
    length = query.shape[2]
    if window is not None and window >= length:
        window = None
    wanted = (length, window, has_sink, query.dtype)
    if segments is not None and wanted in segments.masks:
        return segments.masks[wanted]
    seen = _band(length, window, query.device)
    if has_sink:
        seen = functional.pad(seen, (1, 0), value=True)
    # Kernels copy a mask if its rows do not begin at multiples of 16 elements.
    columns = -(-seen.shape[1] // 16) * 16
    mask = torch.full((length, columns), float("-inf"), dtype=query.dtype, device=query.device)
    mask = mask.narrow(1, 0, seen.shape[1]).masked_fill_(seen, 0.0)
    if segments is not None:
        segments.masks[wanted] = mask
    return mask


def _band(length: int, window: int | None, device: torch.device) -> Tensor:
    """Returns bool (T, T): the tokens (columns) that each token (row) sees."""
    seen = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return seen if window is None else seen.triu(1 - window)


def _varlen(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, scaling: float | None, window: int | None
) -> Tensor:
    """Calls torch's FlashAttention over all segments at once."""
    from torch.nn.attention.varlen import varlen_attn

    groups = query.shape[1] // key.shape[1]
    grouped: dict[str, Any] = {}
    if "enable_gqa" in inspect.signature(varlen_attn).parameters:
        grouped = {"enable_gqa": groups > 1}
    elif groups > 1:
        # torch 2.11 expects as many keys and values as queries.
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    # In multi-head latent attention, values are narrower than keys, but the kernel needs equal widths.
    value_width = value.shape[-1]
    value = functional.pad(value, (0, query.shape[-1] - value_width))
    longest = max(segments.lengths)
    attended = varlen_attn(
        query.squeeze(0).transpose(0, 1),
        key.squeeze(0).transpose(0, 1),
        value.squeeze(0).transpose(0, 1),
        segments.offsets,
        segments.offsets,
        longest,
        longest,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        **grouped,
    )
    assert isinstance(attended, Tensor), "it returns more only on request"
    return attended[..., :value_width].unsqueeze(0)
