"""LoRA by row: each row of a batch gets its own adapter's update, in one pass over the base's weights."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from cluster.serving.adapter import Adapter, LoraPair

_KEPT_STACKS = 4
_LONG_ROW = 16
"""Tokens that are work enough for a CPU to multiply a row by itself, which spares stacking adapters."""


@dataclass(frozen=True)
class _Plan:
    """Which rows of the present batch belong to which adapter."""

    stacks: Mapping[str, tuple[Tensor, Tensor]]
    """By layer: down [G, in, r] and up [G, r, out] of the G adapters, narrower ranks filled with zeros."""
    groups: int
    batch: int
    """Rows of the batch."""
    gather: Tensor | None
    """int64 [G * m]: rows by adapter, each adapter's filled up to the largest group's m. None: rows as they
    are, all of one adapter."""
    rows: Tensor
    """int64 [N]: the rows that have an adapter, in order; in `places`, where the gathered batch has them."""
    places: Tensor

    @property
    def is_full(self) -> bool:
        """Every row has an adapter."""
        return len(self.rows) == self.batch


@dataclass(frozen=True)
class _Apart:
    """The rows of the present batch that have an adapter, each to be computed by itself."""

    rows: Sequence[tuple[int, Adapter]]
    batch: int


class RowLora:
    """Puts row LoRA into a model, and says before each forward which row has which adapter.

    Belongs to the thread that runs the model.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str]) -> None:
        """`layers` names those that adapters may change: linear, or transformers' transposed Conv1D."""
        self.shapes: dict[str, tuple[int, int]] = {}
        """(in, out) of each of them."""
        self._plan: _Plan | _Apart | None = None
        self._stacks: OrderedDict[tuple[str, ...], Mapping[str, tuple[Tensor, Tensor]]] = OrderedDict()
        for name in layers:
            layer = model.get_submodule(name)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, _RowLoraLayer(layer, name, self))
            self.shapes[name] = _shape(layer)

    def assign(
        self, adapters: Sequence[Adapter | None], device: torch.device, *, num_tokens: int = 1
    ) -> None:
        """Fixes the adapter of each row for the next forward passes, over `num_tokens` a row; None, or one
        without pairs, leaves the base's output alone."""
        rows_of: dict[str, list[int]] = {}
        by_digest: dict[str, Adapter] = {}
        for row, adapter in enumerate(adapters):
            if adapter is not None and adapter.pairs:
                rows_of.setdefault(adapter.digest, []).append(row)
                by_digest[adapter.digest] = adapter
        if not rows_of:
            self._plan = None
            return
        if device.type == "cpu" and num_tokens >= _LONG_ROW and len(rows_of) > 1:
            apart = [(row, by_digest[digest]) for digest, rows in rows_of.items() for row in rows]
            self._plan = _Apart(apart, len(adapters))
            return
        digests = self._kept_set(rows_of) or tuple(sorted(rows_of))
        largest = max(map(len, rows_of.values()))
        gather: list[int] = []
        place_of: dict[int, int] = {}
        for group, digest in enumerate(digests):
            members = rows_of.get(digest, [])
            place_of |= {row: group * largest + place for place, row in enumerate(members)}
            # What fills up is computed and never read, so any row will do.
            gather += members + (members or [0])[:1] * (largest - len(members))
        rows = sorted(place_of)
        is_uniform = len(digests) == 1 and largest == len(adapters)
        self._plan = _Plan(
            self._stacked(digests, by_digest),
            len(digests),
            len(adapters),
            None if is_uniform else torch.tensor(gather, device=device),
            torch.tensor(rows, device=device),
            torch.tensor([place_of[row] for row in rows], device=device),
        )

    def forget(self) -> None:
        """Drops the stacked copies of adapters that no row uses now."""
        self._plan = None
        self._stacks.clear()

    def update(self, name: str, x: Tensor, out: Tensor) -> Tensor:
        """The layer's output with each row's update added, computed in the adapters' float32. Takes the
        tokens as [B, T, ...] or flattened to [B x T, ...]."""
        if (plan := self._plan) is None:
            return out
        if x.ndim == 2:
            x_BTI, out_BTO = (tokens.view(plan.batch, -1, tokens.shape[1]) for tokens in (x, out))
            return self._updated(plan, name, x_BTI, out_BTO).flatten(0, 1)
        return self._updated(plan, name, x, out)

    @staticmethod
    def _updated(plan: _Plan | _Apart, name: str, x_BTI: Tensor, out_BTO: Tensor) -> Tensor:
        # In place: `out` is the layer's own, fresh and seen by nobody else.
        assert x_BTI.shape[0] == plan.batch
        if isinstance(plan, _Plan):
            stack = plan.stacks.get(name)
            return out_BTO if stack is None else _add_together(plan, stack, x_BTI, out_BTO)
        for row, adapter in plan.rows:
            if (pair := adapter.pairs.get(name)) is not None:
                out_BTO[row].add_(x_BTI[row].to(pair.down.dtype) @ pair.down @ pair.up)
        return out_BTO

    def _kept_set(self, wanted: Iterable[str]) -> tuple[str, ...] | None:
        """A set that is stacked already and holds those wanted, and at most as many others: computing with
        them for nothing is cheaper than to stack anew whenever an adapter's last row goes."""
        digests = set(wanted)
        if len(digests) == 1:
            return None
        kept = [each for each in self._stacks if digests <= set(each) and len(each) <= 2 * len(digests)]
        return min(kept, key=len, default=None)

    def _stacked(
        self, digests: tuple[str, ...], adapters: Mapping[str, Adapter]
    ) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Built once for a set of adapters, because the set changes far more seldom than the rows. A few sets
        are kept: prefill and decoding take turns."""
        stacks = self._stacks.pop(digests, None)
        if stacks is None:
            names = sorted({name for digest in digests for name in adapters[digest].pairs})
            stacks = {
                name: _stack([adapters[digest].pairs.get(name) for digest in digests]) for name in names
            }
        self._stacks[digests] = stacks
        while len(self._stacks) > _KEPT_STACKS:
            self._stacks.popitem(last=False)
        return stacks


class _RowLoraLayer(nn.Module):
    def __init__(self, layer: Any, name: str, rows: RowLora) -> None:
        super().__init__()
        self.layer = layer
        self._name = name
        self._rows = rows

    @property
    def weight(self) -> Tensor:
        """Some models look at their layers' weights for a dtype."""
        weight: Tensor = self.layer.weight
        return weight

    def forward(self, x: Tensor) -> Tensor:
        return self._rows.update(self._name, x, self.layer(x))


def _add_together(plan: _Plan, stack: tuple[Tensor, Tensor], x_BTI: Tensor, out_BTO: Tensor) -> Tensor:
    down_GIR, up_GRO = stack
    gathered = x_BTI if plan.gather is None else x_BTI.index_select(0, plan.gather)
    n, length, width = gathered.shape
    grouped = gathered.reshape(plan.groups, n // plan.groups * length, width).to(down_GIR.dtype)
    delta = torch.bmm(torch.bmm(grouped, down_GIR), up_GRO).view(n, length, -1)
    if plan.gather is None:
        return out_BTO.add_(delta)
    if plan.is_full:
        return out_BTO.add_(delta.index_select(0, plan.places))
    changed = out_BTO.index_select(0, plan.rows).add_(delta.index_select(0, plan.places))
    return out_BTO.index_copy_(0, plan.rows, changed)


def _shape(layer: Any) -> tuple[int, int]:
    width, height = layer.weight.shape if isinstance(layer, Conv1D) else reversed(layer.weight.shape)
    return width, height


def _stack(pairs: Sequence[LoraPair | None]) -> tuple[Tensor, Tensor]:
    """down [G, in, r_max] and up [G, r_max, out]. An adapter that leaves this layer alone has only zeros."""
    if len(pairs) == 1 and pairs[0] is not None:
        return pairs[0].down.unsqueeze(0), pairs[0].up.unsqueeze(0)
    present = [pair for pair in pairs if pair is not None]
    rank = max(pair.down.shape[1] for pair in present)
    down = present[0].down.new_zeros(len(pairs), present[0].down.shape[0], rank)
    up = present[0].up.new_zeros(len(pairs), rank, present[0].up.shape[1])
    for group, pair in enumerate(pairs):
        if pair is not None:
            down[group, :, : pair.down.shape[1]] = pair.down
            up[group, : pair.up.shape[0]] = pair.up
    return down, up
