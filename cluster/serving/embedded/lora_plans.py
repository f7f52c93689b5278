"""How each row's own LoRA update is added to a layer's output: the fastest way depends on rows and device."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from cluster.serving.embedded.lora_stack import Site
from cluster.serving.weights.adapter import Adapter


class Plan(Protocol):
    """How the present batch is computed."""

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        """Adds each row's update, computed in the adapters' float32, to `out`, which `name` made of `x`.
        Rows are [B, T, ...] or flattened to [B x T, ...]."""
        ...


class Apart:
    """Each adapter multiplies its own rows: for one adapter, or many tokens of each."""

    def __init__(self, pieces: Sequence[tuple[Adapter, slice | Tensor]], batch: int) -> None:
        """Each adapter's rows out of `batch`, in one piece or in several."""
        self._pieces = pieces
        self._batch = batch

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        for adapter, rows in self._pieces:
            if (pair := adapter.pairs.get(name)) is None:
                continue
            x_NI = x.view(self._batch, -1, x.shape[-1])[rows].flatten(0, 1)
            out_BTO = out.view(self._batch, -1, out.shape[-1])
            reduced = x_NI.to(pair.down.dtype) @ pair.down
            if not isinstance(rows, slice):
                delta = (reduced @ pair.up).view(len(rows), -1, out.shape[-1])
                out_BTO.index_copy_(0, rows, out_BTO[rows].add_(delta))
            elif out.dtype == pair.up.dtype:
                out_BTO[rows].flatten(0, 1).addmm_(reduced, pair.up)
            else:
                out_BTO[rows].flatten(0, 1).add_(reduced @ pair.up)


class ByRow:
    """Each row, of one token, finds its adapter's weights in the stack, where it lies itself and whoever is
    beside it: for a CPU.

    A vector's product with a matrix is the sum of the matrix's rows, weighted by the vector's numbers: an
    embedding bag. Measured against `Gathered` in decoding 32 rows: as fast where 8 adapters have 4 rows each,
    and half the time where one has 20, because no row is filled up to a larger group.
    """

    def __init__(self, slots: Sequence[int | None], sites: Mapping[str, Site]) -> None:
        """`slots`: of each row of the batch."""
        self._batch = len(slots)
        self._sites = sites
        self._slots = torch.tensor([slot for slot in slots if slot is not None])
        adapted = [row for row, slot in enumerate(slots) if slot is not None]
        self._rows = None if len(adapted) == self._batch else torch.tensor(adapted)
        # Rows without an adapter begin where the next one does, and so have empty bags.
        counts = torch.tensor([slot is not None for slot in slots]).cumsum(0)
        self._begins = counts - torch.tensor([int(slot is not None) for slot in slots])
        self._bags: dict[tuple[int, bool], tuple[Tensor, Tensor]] = {}
        self._reduced = _LastProduct(self._reduce)

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        if (site := self._sites.get(name)) is None:
            return
        reduced = self._reduced.of(x, site.down_SIR)
        delta = self._multiply(reduced[:, site.ranks], site.up_SRO, is_spread=True)
        out.view(self._batch, -1).add_(delta)

    def _reduce(self, x: Tensor, down_SIR: Tensor) -> Tensor:
        x_BI = x.reshape(self._batch, -1)
        x_NI = x_BI if self._rows is None else x_BI.index_select(0, self._rows)
        return self._multiply(x_NI, down_SIR, is_spread=False)

    def _multiply(self, x_NI: Tensor, weight_SIO: Tensor, *, is_spread: bool) -> Tensor:
        """[N, O] of the rows that have an adapter; `is_spread`: [B, O], zeros for the others."""
        _, width, height = weight_SIO.shape
        indices, begins = self._bags_of(width, is_spread)
        weights = x_NI.to(weight_SIO.dtype).flatten()
        summed: Tensor = torch.embedding_bag(
            weight_SIO.view(-1, height), indices, begins, False, 0, False, weights
        )[0]
        return summed

    def _bags_of(self, width: int, is_spread: bool) -> tuple[Tensor, Tensor]:
        """Which rows of a stack of matrices `width` high each bag sums, and where the bags begin."""
        if (found := self._bags.get((width, is_spread))) is None:
            indices = (self._slots[:, None] * width + torch.arange(width)).flatten()
            firsts = self._begins if is_spread else torch.arange(len(self._slots))
            found = self._bags[width, is_spread] = (indices, firsts * width)
        return found


class Gathered:
    """Rows are gathered by adapter, fewer filled up to the most, and multiplied by all adapters at once: for
    a GPU, where launches are dear and idle lanes are not."""

    def __init__(
        self, slots: Sequence[int | None], sites: Mapping[str, Site], num_slots: int, device: torch.device
    ) -> None:
        """`slots`: of each row of the batch, out of `num_slots`."""
        self._batch = len(slots)
        self._sites = sites
        groups: list[list[int]] = [[] for _ in range(num_slots)]
        for row, slot in enumerate(slots):
            if slot is not None:
                groups[slot].append(row)
        most = max(map(len, groups))
        place_of = {
            row: slot * most + place for slot, rows in enumerate(groups) for place, row in enumerate(rows)
        }
        # What fills up is computed and never read, so any row will do.
        gather = [row for rows in groups for row in rows + (rows or [0])[:1] * (most - len(rows))]
        adapted = sorted(place_of)
        self._gather = torch.tensor(gather, device=device)
        self._rows = torch.tensor(adapted, device=device)
        self._places = torch.tensor([place_of[row] for row in adapted], device=device)
        self._reduced = _LastProduct(self._reduce)

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        if (site := self._sites.get(name)) is None:
            return
        reduced = self._reduced.of(x, site.down_SIR)
        delta = torch.bmm(reduced[:, :, site.ranks], site.up_SRO).view(len(self._gather), -1)
        out_BO = out.view(self._batch, -1)
        changed = out_BO.index_select(0, self._rows).add_(delta.index_select(0, self._places))
        out_BO.index_copy_(0, self._rows, changed)

    def _reduce(self, x: Tensor, down_SIR: Tensor) -> Tensor:
        groups, width, _ = down_SIR.shape
        gathered = x.reshape(self._batch, -1).index_select(0, self._gather)
        return torch.bmm(gathered.view(groups, -1, width).to(down_SIR.dtype), down_SIR)


class _LastProduct:
    """Of a tensor and a stack of matrices; layers that are given the same, one after another, share it."""

    def __init__(self, multiply: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._multiply = multiply
        self._factors: tuple[Tensor, Tensor] | None = None
        self._product: Tensor

    def of(self, x: Tensor, down_SIR: Tensor) -> Tensor:
        if self._factors is None or self._factors[0] is not x or self._factors[1] is not down_SIR:
            self._factors, self._product = (x, down_SIR), self._multiply(x, down_SIR)
        return self._product
