"""Row LoRA on a GPU with PyTorch's operators. Adapters are stacked, and one product multiplies by all of
them."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from cluster.serving.embedded.lora.stack import LoraStack, Site
from cluster.serving.weights.adapter import Adapter


class GatheredLora:
    """A Planner."""

    def __init__(self, shapes: Mapping[str, tuple[int, int]], device: torch.device) -> None:
        """`shapes`: the layers' (in, out) by name."""
        self._shapes = shapes
        self._device = device
        self._stack = LoraStack(shapes, [[name] for name in shapes], device)
        self._last: tuple[tuple[int | None, ...], object, Gathered] | None = None
        """Slots of the last mixed batch, the stack's sites at that time, and the plan."""

    def share(self, names: Sequence[Sequence[str]]) -> None:
        self._stack = LoraStack(self._shapes, names, self._device)

    def plan(self, adapters: Sequence[Adapter | None]) -> "Alone | Gathered":
        used = {adapter.digest: adapter for adapter in adapters if adapter is not None and adapter.pairs}
        if len(used) == 1:
            ((digest, adapter),) = used.items()
            rows = [row for row, own in enumerate(adapters) if own is not None and own.digest == digest]
            return Alone(adapter, rows, len(adapters), self._device)
        return self._mix(adapters, self._stack.hold(list(used.values())))

    def _mix(self, adapters: Sequence[Adapter | None], slot_of: Mapping[str, int]) -> "Gathered":
        """Returns the previous plan if nothing has changed, because most decode steps have the same rows as
        the previous one."""
        slots = tuple(slot_of.get(adapter.digest) if adapter is not None else None for adapter in adapters)
        sites = self._stack.sites
        if self._last is None or self._last[0] != slots or self._last[1] is not sites:
            self._last = (slots, sites, Gathered(slots, sites, len(self._stack), self._device))
        return self._last[2]

    def forget(self) -> None:
        self._last = None
        self._stack.clear()


class Alone:
    """A Plan for one adapter."""

    def __init__(self, adapter: Adapter, rows: Sequence[int], batch: int, device: torch.device) -> None:
        """`rows` are the adapter's rows, ascending, out of `batch`."""
        self._pairs = adapter.pairs
        self._batch = batch
        # Consecutive rows need no gathering.
        are_neighbours = rows[-1] - rows[0] == len(rows) - 1
        self._rows = slice(rows[0], rows[-1] + 1) if are_neighbours else torch.tensor(rows, device=device)

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        if (pair := self._pairs.get(name)) is None:
            return
        x_NI = x.view(self._batch, -1, x.shape[-1])[self._rows].flatten(0, 1)
        out_BTO = out.view(self._batch, -1, out.shape[-1])
        reduced = x_NI.to(pair.down.dtype) @ pair.down.T
        if isinstance(self._rows, slice):
            out_BTO[self._rows].flatten(0, 1).add_(reduced @ pair.up)
        else:
            delta = (reduced @ pair.up).view(len(self._rows), -1, out.shape[-1])
            out_BTO.index_copy_(0, self._rows, out_BTO[self._rows].add_(delta))


class Gathered:
    """A Plan for several adapters. Rows are gathered by adapter, padded to the largest group, and multiplied
    by all adapters at once, because kernel launches are expensive and padding is not."""

    def __init__(
        self, slots: Sequence[int | None], sites: Mapping[str, Site], num_slots: int, device: torch.device
    ) -> None:
        """`slots` is the slot of each row's adapter, out of `num_slots`."""
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
        # Padding is computed but never read, so any row can be used.
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
    """Caches the last product of a tensor and a stack of matrices, which consecutive layers with the same
    input share."""

    def __init__(self, multiply: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._multiply = multiply
        self._factors: tuple[Tensor, Tensor] | None = None
        self._product: Tensor

    def of(self, x: Tensor, down_SIR: Tensor) -> Tensor:
        if self._factors is None or self._factors[0] is not x or self._factors[1] is not down_SIR:
            self._factors, self._product = (x, down_SIR), self._multiply(x, down_SIR)
        return self._product
