from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="EstimatedRows")


@_attrs_define
class EstimatedRows:
    """
    Attributes:
        trained (int): Examples that each epoch trains on.
        held_out (int):
        truncated (int):
        dropped (int): Examples of the training file that are too long and, according to `training.on_overlength`,
            dropped.
    """

    trained: int
    held_out: int
    truncated: int
    dropped: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        trained = self.trained

        held_out = self.held_out

        truncated = self.truncated

        dropped = self.dropped

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "trained": trained,
                "held_out": held_out,
                "truncated": truncated,
                "dropped": dropped,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        trained = d.pop("trained")

        held_out = d.pop("held_out")

        truncated = d.pop("truncated")

        dropped = d.pop("dropped")

        estimated_rows = cls(
            trained=trained,
            held_out=held_out,
            truncated=truncated,
            dropped=dropped,
        )

        estimated_rows.additional_properties = d
        return estimated_rows

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
