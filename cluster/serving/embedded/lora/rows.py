"""Row LoRA: each row of a batch gets its own adapter's update, in one pass over the base's weights."""

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
    """How the updates of the current batch are computed."""

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        """Adds each row's update, computed in float32, to `out`, the output of layer `name` for `x`. Rows are
        [B, T, ...] or flattened to [B x T, ...]."""
        ...


class Planner(Protocol):
    """Creates the plans that are fastest on a kind of device."""

    def share(self, names: Sequence[Sequence[str]]) -> None:
        """Called once with the groups of layers that receive the same input tensor and may share work on it.
        Every pass checks again that they receive the same."""
        ...

    def plan(self, adapters: Sequence[Adapter | None]) -> Plan:
        """Returns the plan for one pass, in which at least one row has an adapter with pairs."""
        ...

    def forget(self) -> None:
        """Drops cached data of adapters."""
        ...


class RowLora:
    """Installs row LoRA in a model and assigns an adapter to each row before a forward pass.

    Used from the thread that runs the model.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[str],
        device: torch.device,
        *,
        is_compiled: bool | None = None,
    ) -> None:
        """`layers` names the layers that adapters may change: linear ones, or transformers' transposed
        Conv1D. `is_compiled`: use code compiled for this CPU rather than PyTorch's operators; None chooses
        for `device`."""
        self.shapes: dict[str, tuple[int, int]] = {}
        """(in, out) of each layer by name."""
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
        """Adapters that must stay alive, because a plan may read them by address."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the context, forward passes record which layers receive the same input tensor."""
        self._plan = watched = _Watched()
        try:
            yield
        finally:
            self._plan = None
        self._planner.share(watched.shared(self.shapes))

    def assign(self, adapters: Sequence[Adapter | None]) -> None:
        """Sets the adapter of each row for the next forward passes. Rows with None, or with an adapter
        without pairs, get the base's output."""
        self._adapters = adapters
        is_plain = all(adapter is None or not adapter.pairs for adapter in adapters)
        self._plan = None if is_plain else self._planner.plan(adapters)

    def forget(self) -> None:
        """Drops cached data of adapters. No row may be using one."""
        self.assign([])
        self._planner.forget()

    def update(self, name: str, x: Tensor, out: Tensor) -> Tensor:
        """Adds each row's update to `out`, the layer's output for `x`, and returns it. Works in place,
        because nothing else refers to the output yet."""
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
        """The layer's weight, because some models read its dtype."""
        weight: Tensor = self.layer.weight
        return weight

    def forward(self, x: Tensor) -> Tensor:
        return self._rows.update(self._name, x, self.layer(x))


class _Watched:
    """A Plan that adds nothing and records the input of each layer."""

    def __init__(self) -> None:
        self._inputs: list[tuple[Tensor, str]] = []

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        self._inputs.append((x, name))

    def shared(self, names: Iterable[str]) -> list[list[str]]:
        """All names, grouped by input tensor."""
        by_tensor: dict[int, list[str]] = {}
        group_of: dict[str, list[str]] = {}
        # By identity, which is unique because all tensors are kept alive.
        for x, name in self._inputs:
            if name not in group_of:
                group_of[name] = by_tensor.setdefault(id(x), [])
                group_of[name].append(name)
        return [*by_tensor.values(), *([name] for name in names if name not in group_of)]


def _shape(layer: Any) -> tuple[int, int]:
    width, height = layer.weight.shape if isinstance(layer, Conv1D) else reversed(layer.weight.shape)
    return width, height
