"""The slot cache: a transformers Cache with one pair of tensors per layer for all running rows."""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

_BLOCK = 128
"""Number of tokens. The reserved length is this times a power of two."""


class SlotCache(Cache):  # type: ignore[misc]
    """Row b of the batch owns row b of every tensor. The rows in use are always the first ones, so decoding
    reads a view without gathering; the last row moves into a released one, and its old place is zeroed.

    Grows by doubling up to (max_rows, max_length) and frees its memory with the last row.
    """

    def __init__(self, num_layers: int, *, max_rows: int, max_length: int) -> None:
        super().__init__(layers=[_SlotLayer() for _ in range(num_layers)])
        self._max_rows = max_rows
        self._max_length = max_length
        self.lengths: list[int] = []
        """Cached tokens by row."""
        self.longest = 0
        """Tokens of the longest row in the current forward pass, which is the number of positions that each
        row reads."""

    def append(self, prefilled: Cache, row: int, length: int) -> None:
        """Adds a row with the first `length` tokens of row `row` of another cache."""
        rows = len(self.lengths) + 1
        self._reserve(prefilled, rows, length + 1)
        for layer, source in zip(self.layers, prefilled.layers, strict=True):
            layer.keys[rows - 1, :, :length] = source.keys[row, :, :length]
            layer.values[rows - 1, :, :length] = source.values[row, :, :length]
        self.lengths.append(length)

    def advance(self, rows: int) -> Tensor:
        """Makes room for one more token in each of the first `rows` rows. Returns the positions, int64 [B,
        1]."""
        held = self.lengths[:rows]
        self.longest = max(held) + 1
        self._reserve(self, len(self.lengths), self.longest)
        positions_B = torch.tensor(held, device=self.layers[0].keys.device)
        self.lengths[:rows] = [length + 1 for length in held]
        for layer in self.layers:
            layer.begin(positions_B, self.longest)
        return positions_B[:, None]

    def swap(self, row: int, other: int) -> None:
        """Swaps two rows."""
        reach = max(self.lengths[row], self.lengths[other])
        for layer in self.layers:
            for states in (layer.keys, layer.values):
                states[[row, other], :, :reach] = states[[other, row], :, :reach]
        self.lengths[row], self.lengths[other] = self.lengths[other], self.lengths[row]

    def release(self, row: int) -> None:
        """Frees a row; the last row takes its place. The freed memory is zeroed, because a NaN behind a mask
        would still corrupt the next row there (0 x NaN = NaN)."""
        last = len(self.lengths) - 1
        for layer in self.layers:
            if row != last:
                # The longer of the two lengths, so that old tokens beyond the new ones are overwritten too.
                reach = max(self.lengths[last], self.lengths[row])
                layer.keys[row, :, :reach] = layer.keys[last, :, :reach]
                layer.values[row, :, :reach] = layer.values[last, :, :reach]
            layer.keys[last, :, : self.lengths[last]] = 0
            layer.values[last, :, : self.lengths[last]] = 0
        self.lengths[row] = self.lengths[last]
        self.lengths.pop()
        if not self.lengths:
            self.clear()

    def clear(self) -> None:
        """Frees all rows and their memory."""
        self.lengths = []
        for layer in self.layers:
            layer.keys = layer.values = None
            layer.is_initialized = False

    def _reserve(self, like: Cache, rows: int, length: int) -> None:
        first = self.layers[0].keys
        held_rows, held_length = (0, 0) if first is None else (first.shape[0], first.shape[2])
        if rows <= held_rows and length <= held_length:
            return
        new_rows = min(self._max_rows, _doubled(max(held_rows, 1), rows))
        new_length = min(self._max_length, _doubled(max(held_length, _BLOCK), length))
        for layer, source in zip(self.layers, like.layers, strict=True):
            layer.grow(source, new_rows, new_length)


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    is_sliding = False

    keys: Tensor | None
    values: Tensor | None

    def grow(self, like: Any, rows: int, length: int) -> None:
        keys = like.keys.new_zeros(rows, like.keys.shape[1], length, like.keys.shape[3])
        values = like.values.new_zeros(rows, like.values.shape[1], length, like.values.shape[3])
        if self.keys is not None and self.values is not None:
            keys[: self.keys.shape[0], :, : self.keys.shape[2]] = self.keys
            values[: self.values.shape[0], :, : self.values.shape[2]] = self.values
        self.keys, self.values = keys, values
        self.is_initialized = True

    def begin(self, positions_B: Tensor, longest: int) -> None:
        self._rows_B = torch.arange(len(positions_B), device=positions_B.device)
        self._positions_B = positions_B
        self._longest = longest

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Stores one token per row, [B, heads, 1, dim], and returns all cached ones, [B, heads, L, dim]."""
        assert self.keys is not None
        assert self.values is not None
        self.keys[self._rows_B, :, self._positions_B] = key_states[:, :, 0]
        self.values[self._rows_B, :, self._positions_B] = value_states[:, :, 0]
        held = len(self._rows_B)
        return self.keys[:held, :, : self._longest], self.values[:held, :, : self._longest]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        raise AssertionError("rows are reserved before a forward pass")

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._longest, 0

    def get_seq_length(self) -> int:
        """Tokens of the longest row before the present forward pass."""
        return self._longest - 1

    def get_max_length(self) -> int:
        return -1


def _doubled(size: int, needed: int) -> int:
    while size < needed:
        size *= 2
    return size
