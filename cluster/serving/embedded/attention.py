"""What each layer of a model sees when rows of different lengths are decoded together: the masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_FULL, _SLIDING = "full_attention", "sliding_attention"
_MARGIN = 8
"""Tokens of a proof beyond the window."""
_LONGEST_CHECK = 520
"""Tokens. Longer windows are taken to be what the configuration says: proving them would delay loading."""


@dataclass(frozen=True)
class Attention:
    """The kinds of a model's layers, in transformers' words, each with the tokens that it looks back on."""

    windows: Mapping[str, int | None]
    """By kind of layer; None: all that came before. The newest token counts."""
    bias_dtype: torch.dtype | None
    """Eager attention adds its mask to the scores, in this type; None: the implementation takes booleans."""

    def decode_mask(self, positions_B1: Tensor, longest: int) -> Tensor | dict[str, Tensor]:
        """The mask of one new token a row at `positions_B1` over `longest` places, [B, 1, 1, L]: each row
        sees its own tokens and no other's. By kind if the model has several."""
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
    """From a text model's configuration. None if a layer keeps something else than keys and values of the
    tokens it sees, or sees them in another pattern."""
    window = getattr(config, "sliding_window", None)
    every = [_FULL if window is None else _SLIDING]
    kinds = set(getattr(config, "layer_types", None) or every)
    if not kinds <= {_FULL, _SLIDING}:
        return None
    windows = {kind: window if kind == _SLIDING else None for kind in sorted(kinds)}
    return Attention(windows, dtype if config._attn_implementation == "eager" else None)


def implementation(config: Any) -> str | None:
    """The attention that transformers must be told to use: eager where scores are capped, which no fused
    kernel does. None: its own choice for the model."""
    return "eager" if getattr(config, "attn_logit_softcapping", None) is not None else None


def parity_check_length(config: Any) -> int:
    """Tokens of a text that reaches beyond whatever window the configuration names, unless that is long."""
    named = [
        value
        for name, value in config.to_dict().items()
        if "window" in name and isinstance(value, int) and value + _MARGIN <= _LONGEST_CHECK
    ]
    return max([_MARGIN, *named]) + _MARGIN
