"""Attention masks for rows of different lengths that are decoded together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_FULL, _SLIDING = "full_attention", "sliding_attention"
_MARGIN = 8
"""Tokens beyond the window in a parity check."""
_LONGEST_CHECK = 520
"""Tokens. Longer windows are trusted to match the configuration: checking them would delay loading."""


@dataclass(frozen=True)
class Attention:
    """The layer types of a model, by transformers' names, and how far back each of them attends."""

    windows: Mapping[str, int | None]
    """Tokens by layer type, including the newest one; None: all tokens so far."""
    bias_dtype: torch.dtype | None
    """The type of the mask that eager attention adds to its scores; None: the implementation takes
    booleans."""

    def decode_mask(self, positions_B1: Tensor, longest: int) -> Tensor | dict[str, Tensor]:
        """The mask [B, 1, 1, L] for one new token per row at `positions_B1`, over `longest` positions: each
        row sees only its own tokens. A dictionary by layer type if the model has several."""
        masks = {kind: self._mask(positions_B1, longest, window) for kind, window in self.windows.items()}
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _mask(self, positions_B1: Tensor, longest: int, window: int | None) -> Tensor:
        places_L = torch.arange(longest, device=positions_B1.device)
        seen_BL = places_L <= positions_B1
        if window is not None:
            seen_BL &= places_L > positions_B1 - window
        seen_B11L = seen_BL[:, None, None, :]
        if self.bias_dtype is None:
            return seen_B11L
        zeros = torch.zeros(seen_B11L.shape, dtype=self.bias_dtype, device=seen_B11L.device)
        return zeros.masked_fill(~seen_B11L, torch.finfo(self.bias_dtype).min)


def read_attention(config: Any, dtype: torch.dtype) -> Attention | None:
    """Reads the attention of a text model from its configuration. None if a layer caches anything but keys
    and values of the tokens it attends to, or uses another attention pattern."""
    window = getattr(config, "sliding_window", None)
    every = [_FULL if window is None else _SLIDING]
    kinds = set(getattr(config, "layer_types", None) or every)
    if not kinds <= {_FULL, _SLIDING}:
        return None
    windows = {kind: window if kind == _SLIDING else None for kind in sorted(kinds)}
    return Attention(windows, dtype if config._attn_implementation == "eager" else None)


def implementation(config: Any) -> str | None:
    """Returns the attention implementation to request from transformers: eager if scores are soft-capped,
    which no fused kernel supports. None: transformers' default."""
    return "eager" if getattr(config, "attn_logit_softcapping", None) is not None else None


def parity_check_length(config: Any) -> int:
    """Length of a text that is longer than every window in the configuration, except very long ones."""
    named = [
        value
        for name, value in config.to_dict().items()
        if "window" in name and isinstance(value, int) and value + _MARGIN <= _LONGEST_CHECK
    ]
    return max([_MARGIN, *named]) + _MARGIN
