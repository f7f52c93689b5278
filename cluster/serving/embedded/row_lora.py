"""LoRA by row: each row of a batch gets its own adapter's update, in one pass over the base's weights."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from cluster.serving.embedded.lora_plans import Apart, ByRow, Gathered, Plan
from cluster.serving.embedded.lora_stack import LoraStack
from cluster.serving.weights.adapter import Adapter


class RowLora:
    """Puts row LoRA into a model, and says before each forward pass which row has which adapter.

    Belongs to the thread that runs the model.
    """

    def __init__(
        self, model: nn.Module, layers: Iterable[str], device: torch.device, *, by_row: bool | None = None
    ) -> None:
        """`layers` names those that adapters may change: linear, or transformers' transposed Conv1D.
        `by_row`: rows of different adapters are computed one by one, or gathered by adapter; None is what is
        best on `device`."""
        self.shapes: dict[str, tuple[int, int]] = {}
        """(in, out) of each of them."""
        self._device = device
        self._is_by_row = device.type == "cpu" if by_row is None else by_row
        self._plan: Plan | None = None
        for name in layers:
            layer = model.get_submodule(name)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, _RowLoraLayer(layer, name, self))
            self.shapes[name] = _shape(layer)
        self._stack = LoraStack(self.shapes, [[name] for name in self.shapes], device)
        self._mixed: tuple[tuple[int | None, ...], object, Plan] | None = None
        """The slots of the last mixed batch, the stack's sites then, and the plan."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Forward passes within show which layers are given the same tensor, and so may share work on it.
        Whether they are is looked at again in every pass: here it only decides what lies side by side."""
        self._plan = watched = _Watched()
        try:
            yield
        finally:
            self._plan = None
        self._stack = LoraStack(self.shapes, watched.shared(self.shapes), self._device)

    def assign(self, adapters: Sequence[Adapter | None], *, num_tokens: int = 1) -> None:
        """Fixes the adapter of each row for the next forward passes, over `num_tokens` a row; None, or one
        without pairs, leaves the base's output alone."""
        used = {adapter.digest: adapter for adapter in adapters if adapter is not None and adapter.pairs}
        if not used:
            self._plan = None
        elif len(used) == 1 or (self._is_by_row and num_tokens > 1):
            digests = [adapter.digest if adapter is not None else None for adapter in adapters]
            pieces = [
                (adapter, piece)
                for digest, adapter in used.items()
                for piece in _pieces(
                    [row for row, own in enumerate(digests) if own == digest], num_tokens, self._device
                )
            ]
            self._plan = Apart(pieces, len(adapters))
        else:
            self._plan = self._mix(adapters, self._stack.hold(list(used.values())))

    def _mix(self, adapters: Sequence[Adapter | None], slot_of: Mapping[str, int]) -> Plan:
        """The last plan if nothing has changed: most tokens are decoded beside the same rows as the last."""
        slots = tuple(slot_of.get(adapter.digest) if adapter is not None else None for adapter in adapters)
        sites = self._stack.sites
        if self._mixed is None or self._mixed[0] != slots or self._mixed[1] is not sites:
            plan = (
                ByRow(slots, sites)
                if self._is_by_row
                else Gathered(slots, sites, len(self._stack), self._device)
            )
            self._mixed = (slots, sites, plan)
        return self._mixed[2]

    def forget(self) -> None:
        """Drops the stacked copies of adapters that no row uses now."""
        self._plan = self._mixed = None
        self._stack.clear()

    def update(self, name: str, x: Tensor, out: Tensor) -> Tensor:
        """The layer's output for `x`, with each row's update added: in place, because it is the layer's own,
        fresh and seen by nobody else."""
        if self._plan is not None:
            self._plan.add(name, x, out)
        return out


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


class _Watched:
    """Adds nothing, and notes which layer is given what."""

    def __init__(self) -> None:
        self._inputs: list[tuple[Tensor, str]] = []

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        self._inputs.append((x, name))

    def shared(self, names: Iterable[str]) -> list[list[str]]:
        """All names, together where the tensor is the same."""
        by_tensor: dict[int, list[str]] = {}
        group_of: dict[str, list[str]] = {}
        # By identity: all tensors are kept, so no two of them have had one address.
        for x, name in self._inputs:
            if name not in group_of:
                group_of[name] = by_tensor.setdefault(id(x), [])
                group_of[name].append(name)
        return [*by_tensor.values(), *([name] for name in names if name not in group_of)]


def _pieces(rows: Sequence[int], num_tokens: int, device: torch.device) -> list[slice | Tensor]:
    """The rows as runs of neighbours, which need no gathering; but single tokens are gathered sooner than
    multiplied run by run."""
    ends = [place for place in range(1, len(rows)) if rows[place] != rows[place - 1] + 1]
    if ends and num_tokens == 1:
        return [torch.tensor(rows, device=device)]
    bounds = itertools.pairwise([0, *ends, len(rows)])
    return [slice(rows[start], rows[stop - 1] + 1) for start, stop in bounds]


def _shape(layer: Any) -> tuple[int, int]:
    width, height = layer.weight.shape if isinstance(layer, Conv1D) else reversed(layer.weight.shape)
    return width, height
