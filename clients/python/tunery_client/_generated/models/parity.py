from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Parity")


@_attrs_define
class Parity:
    """Differences between the log-probabilities of serving and training when the model was published, in
    nats.

        Attributes:
            max_abs (float):
            mean_abs (float):
    """

    max_abs: float
    mean_abs: float
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        max_abs = self.max_abs

        mean_abs = self.mean_abs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "max_abs": max_abs,
                "mean_abs": mean_abs,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        max_abs = d.pop("max_abs")

        mean_abs = d.pop("mean_abs")

        parity = cls(
            max_abs=max_abs,
            mean_abs=mean_abs,
        )

        parity.additional_properties = d
        return parity

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
