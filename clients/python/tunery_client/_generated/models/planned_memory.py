from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="PlannedMemory")


@_attrs_define
class PlannedMemory:
    """Bytes on each device at the peak of a step: of a GPU, or of the worker's process on a CPU.

    Attributes:
        weights (int): Bytes of the weights that this device holds: its shard if they are sharded.
        trained_weights (int): Bytes of the adapter's weights. 0 for a full fine-tune, whose weights are all trained.
        gradients (int):
        optimizer (int):
        gathered (int): Weights and gradients that are temporarily gathered in full while workers share a model, copied
            in half
            precision, or dequantized.
        activations (int):
        head (int): Logits of one chunk, and the gradient of the output layer.
        runtime (int): The process itself: libraries, the device's context, communication and, on a CPU, freed memory
            that it
            keeps.
        total (int):
    """

    weights: int
    trained_weights: int
    gradients: int
    optimizer: int
    gathered: int
    activations: int
    head: int
    runtime: int
    total: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        weights = self.weights

        trained_weights = self.trained_weights

        gradients = self.gradients

        optimizer = self.optimizer

        gathered = self.gathered

        activations = self.activations

        head = self.head

        runtime = self.runtime

        total = self.total

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "weights": weights,
                "trained_weights": trained_weights,
                "gradients": gradients,
                "optimizer": optimizer,
                "gathered": gathered,
                "activations": activations,
                "head": head,
                "runtime": runtime,
                "total": total,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        weights = d.pop("weights")

        trained_weights = d.pop("trained_weights")

        gradients = d.pop("gradients")

        optimizer = d.pop("optimizer")

        gathered = d.pop("gathered")

        activations = d.pop("activations")

        head = d.pop("head")

        runtime = d.pop("runtime")

        total = d.pop("total")

        planned_memory = cls(
            weights=weights,
            trained_weights=trained_weights,
            gradients=gradients,
            optimizer=optimizer,
            gathered=gathered,
            activations=activations,
            head=head,
            runtime=runtime,
            total=total,
        )

        planned_memory.additional_properties = d
        return planned_memory

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
