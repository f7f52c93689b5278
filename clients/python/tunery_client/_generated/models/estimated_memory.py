from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="EstimatedMemory")


@_attrs_define
class EstimatedMemory:
    """Bytes on each device, calculated from the shapes of the base's layers. Temporary buffers and the
    framework itself come on top.

        Attributes:
            weights (int):
            trained_weights (int): Of the adapter. 0 for a full fine-tune.
            gradients (int):
            optimizer (int):
            activations (int):
            total (int):
    """

    weights: int
    trained_weights: int
    gradients: int
    optimizer: int
    activations: int
    total: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        weights = self.weights

        trained_weights = self.trained_weights

        gradients = self.gradients

        optimizer = self.optimizer

        activations = self.activations

        total = self.total

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "weights": weights,
                "trained_weights": trained_weights,
                "gradients": gradients,
                "optimizer": optimizer,
                "activations": activations,
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

        activations = d.pop("activations")

        total = d.pop("total")

        estimated_memory = cls(
            weights=weights,
            trained_weights=trained_weights,
            gradients=gradients,
            optimizer=optimizer,
            activations=activations,
            total=total,
        )

        estimated_memory.additional_properties = d
        return estimated_memory

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
