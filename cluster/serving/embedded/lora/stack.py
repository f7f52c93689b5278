"""Adapters stacked in memory, so that one product multiplies by all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from cluster.serving.weights.adapter import Adapter

_IDLE_STEPS = 16
"""An adapter may be replaced after this many forward passes without it. It is more than one because passes
over some rows and passes over all rows alternate."""


@dataclass(frozen=True)
class Site:
    """The stacked tensors of a layer. Smaller ranks and adapters without the layer are padded with zeros."""

    down_SIR: Tensor
    """Matrices shared by all layers with the same input, whose ranks are concatenated."""
    ranks: slice
    """This layer's ranks in `down_SIR`."""
    up_SRO: Tensor


class LoraStack:
    """The adapters of the current rows, each in a slot. A new adapter takes the slot of an idle one, so that
    the others are not copied again."""

    def __init__(
        self, shapes: Mapping[str, tuple[int, int]], shared: Sequence[Sequence[str]], device: torch.device
    ) -> None:
        """`shapes` are the layers' (in, out) by name. `shared` groups their names by input tensor."""
        self._shapes = shapes
        self._shared = shared
        self._device = device
        self._held: list[str] = []
        """Digests by slot."""
        self._adapters: WeakValueDictionary[str, Adapter] = WeakValueDictionary()
        """Stacked adapters by digest. The references are weak, so that a slot keeps no adapter in memory."""
        self._last_used: list[int] = []
        self._now = 0
        self._capacity = 0
        self._all: dict[str, Site] = {}
        """Sites over all slots, including unused ones."""
        self.sites: Mapping[str, Site] = {}
        """Sites over the slots in use, by layer. Replaced by a new object whenever their content has
        changed."""

    def __len__(self) -> int:
        """Number of slots in use."""
        return len(self._held)

    def hold(self, adapters: Sequence[Adapter]) -> Mapping[str, int]:
        """Adds missing adapters. Returns the slots of all stacked adapters, by digest."""
        self._now += 1
        slots = self._slots()
        for adapter in adapters:
            self._adapters[adapter.digest] = adapter
            if adapter.digest in slots:
                self._last_used[slots[adapter.digest]] = self._now
        missing = [adapter for adapter in adapters if adapter.digest not in slots]
        idle = [slot for slot, step in enumerate(self._last_used) if self._now - step > _IDLE_STEPS]
        is_sparse = 2 * len(idle) > len(self)
        if not missing and not is_sparse:
            return slots
        room = len(idle) + self._capacity - len(self)
        if is_sparse or len(missing) > room or not all(map(self._fits, missing)):
            held = [self._adapters.get(digest) for slot, digest in enumerate(self._held) if slot not in idle]
            self._build([adapter for adapter in held if adapter is not None] + missing)
        else:
            for adapter in missing:
                self._put(idle.pop() if idle else len(self), adapter)
        self.sites = self._in_use()
        return self._slots()

    def clear(self) -> None:
        """Frees the memory."""
        self._held, self._last_used, self._capacity = [], [], 0
        self._all, self.sites = {}, {}

    def _slots(self) -> dict[str, int]:
        return {digest: slot for slot, digest in enumerate(self._held)}

    def _fits(self, adapter: Adapter) -> bool:
        return all(
            name in self._all and pair.rank <= self._all[name].up_SRO.shape[1]
            for name, pair in adapter.pairs.items()
        )

    def _build(self, adapters: Sequence[Adapter]) -> None:
        self.clear()
        # Rounded up to a power of two, so that filling a batch copies each adapter at most twice.
        self._capacity = 1 << (len(adapters) - 1).bit_length()
        for names in self._shared:
            ranks = {name: rank for name in names if (rank := _widest(name, adapters))}
            down = self._empty(self._shapes[names[0]][0], sum(ranks.values()))
            for (name, rank), stop in zip(ranks.items(), accumulate(ranks.values()), strict=True):
                up = self._empty(rank, self._shapes[name][1])
                self._all[name] = Site(down, slice(stop - rank, stop), up)
        for slot, adapter in enumerate(adapters):
            self._put(slot, adapter)

    def _empty(self, *shape: int) -> Tensor:
        # Explicit type: loading a model in another thread temporarily changes torch's default type.
        return torch.empty(self._capacity, *shape, dtype=torch.float32, device=self._device)

    def _put(self, slot: int, adapter: Adapter) -> None:
        for name, site in self._all.items():
            down_IR, up_RO = site.down_SIR[slot, :, site.ranks], site.up_SRO[slot]
            pair = adapter.pairs.get(name)
            rank = 0 if pair is None else pair.rank
            down_IR[:, rank:] = 0
            up_RO[rank:] = 0
            if pair is not None:
                down_IR[:, :rank] = pair.down.T
                up_RO[:rank] = pair.up
        self._held[slot : slot + 1] = [adapter.digest]
        self._last_used[slot : slot + 1] = [self._now]

    def _in_use(self) -> Mapping[str, Site]:
        downs: dict[int, Tensor] = {}
        return {
            name: Site(
                downs.setdefault(id(site.down_SIR), site.down_SIR[: len(self)]),
                site.ranks,
                site.up_SRO[: len(self)],
            )
            for name, site in self._all.items()
        }


def _widest(name: str, adapters: Sequence[Adapter]) -> int:
    """The largest of the adapters' ranks at a layer; 0 if none changes it."""
    return max((adapter.pairs[name].rank for adapter in adapters if name in adapter.pairs), default=0)
