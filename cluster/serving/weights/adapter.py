"""Tuned weights that an engine applies to a base row by row: low-rank updates or a learned prefix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LoraPair:
    """The update of one linear layer, x @ down.T @ up; `up` includes the scale."""

    down: Tensor
    """float32 [r, in]"""
    up: Tensor
    """float32 [r, out]"""

    @property
    def rank(self) -> int:
        return self.up.shape[0]

    def added_to(self, weight: Tensor, *, is_transposed: bool) -> Tensor:
        """Returns a copy of the layer's weight, [out, in] or transposed [in, out], with the update added.
        Sums are computed in float32 and rounded once to the weight's type."""
        left, right = (self.down.T, self.up) if is_transposed else (self.up.T, self.down)
        return torch.addmm(weight.float(), left, right).to(weight.dtype)


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values that precede those of every prompt, one [heads, P, dim] per layer."""

    keys: Sequence[Tensor]
    values: Sequence[Tensor]

    @property
    def length(self) -> int:
        """P, in tokens."""
        return int(self.keys[0].shape[1])


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter in memory, identified by `digest`."""

    digest: str
    pairs: Mapping[str, LoraPair] = field(default_factory=dict)
    """LoRA matrices by the linear layer's name in the base model."""
    prefix: Prefix | None = None

    @property
    def num_bytes(self) -> int:
        """Device memory of its tensors."""
        tensors = [tensor for pair in self.pairs.values() for tensor in (pair.down, pair.up)]
        if self.prefix is not None:
            tensors += [*self.prefix.keys, *self.prefix.values]
        return sum(tensor.nbytes for tensor in tensors)

    @property
    def prefix_length(self) -> int:
        return 0 if self.prefix is None else self.prefix.length
