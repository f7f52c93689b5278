"""LoRA by row: each row of a batch gets its own adapter's update, in one pass over the base's weights."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from cluster.serving.embedded.lora.call import can_compile
from cluster.serving.embedded.lora.compiled import CompiledLora
from cluster.serving.embedded.lora.gathered import GatheredLora
from cluster.serving.weights.adapter import Adapter


class Plan(Protocol):
    """How the present batch is computed."""

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        """Adds each row's update, computed in the adapters' float32, to `out`, which `name` made of `x`.
        Rows are [B, T, ...] or flattened to [B x T, ...]."""
        ...


class Planner(Protocol):
    """The way that is fastest on a kind of device."""

    def share(self, names: Sequence[Sequence[str]]) -> None:
        """Is told once which layers are given the same tensor, and so may share work on it. Whether they are
        is looked at again in every pass."""
        ...

    def plan(self, adapters: Sequence[Adapter | None]) -> Plan:
        """For one pass, in which at least one row has an adapter with pairs."""
        ...

    def forget(self) -> None:
        """Drops what is kept of adapters."""
        ...


class RowLora:
    """Puts row LoRA into a model, and says before each forward pass which row has which adapter.

    Belongs to the thread that runs the model.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[str],
        device: torch.device,
        *,
        is_compiled: bool | None = None,
    ) -> None:
        """`layers` names those that adapters may change: linear, or transformers' transposed Conv1D.
        `is_compiled`: by code for this CPU, or by PyTorch's operators; None is what is best on `device`."""
        self.shapes: dict[str, tuple[int, int]] = {}
        """(in, out) of each of them."""
        for name in layers:
            layer = model.get_submodule(name)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, _RowLoraLayer(layer, name, self))
            self.shapes[name] = _shape(layer)
        if is_compiled is None:
            is_compiled = device.type == "cpu" and can_compile()
        self._planner: Planner = (
            CompiledLora(self.shapes) if is_compiled else GatheredLora(self.shapes, device)
        )
        self._plan: Plan | None = None
        self._adapters: Sequence[Adapter | None] = ()
        """Kept while a plan may read them by their addresses."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Forward passes within show which layers are given the same tensor."""
        self._plan = watched = _Watched()
        try:
            yield
        finally:
            self._plan = None
        self._planner.share(watched.shared(self.shapes))

    def assign(self, adapters: Sequence[Adapter | None]) -> None:
        """Fixes the adapter of each row for the next forward passes; None, or one without pairs, leaves the
        base's output alone."""
        self._adapters = adapters
        is_plain = all(adapter is None or not adapter.pairs for adapter in adapters)
        self._plan = None if is_plain else self._planner.plan(adapters)

    def forget(self) -> None:
        """Drops what is kept of adapters, which no row uses now."""
        self.assign([])
        self._planner.forget()

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


def _shape(layer: Any) -> tuple[int, int]:
    width, height = layer.weight.shape if isinstance(layer, Conv1D) else reversed(layer.weight.shape)
    return width, height
