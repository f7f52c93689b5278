from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Differences")


@_attrs_define
class Differences:
    """Differences between the log-probabilities of serving and of training on the same tokens, in nats.

    Attributes:
        max_abs (float):
        mean_abs (float):
        p99_abs (float | None): 99th percentile of the absolute difference.
        same_top (float | None): Fraction of positions where both consider the same token most likely.
    """

    max_abs: float
    mean_abs: float
    p99_abs: float | None
    same_top: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        max_abs = self.max_abs

        mean_abs = self.mean_abs

        p99_abs: float | None
        p99_abs = self.p99_abs

        same_top: float | None
        same_top = self.same_top

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "max_abs": max_abs,
                "mean_abs": mean_abs,
                "p99_abs": p99_abs,
                "same_top": same_top,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        max_abs = d.pop("max_abs")

        mean_abs = d.pop("mean_abs")

        def _parse_p99_abs(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        p99_abs = _parse_p99_abs(d.pop("p99_abs"))

        def _parse_same_top(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        same_top = _parse_same_top(d.pop("same_top"))

        differences = cls(
            max_abs=max_abs,
            mean_abs=mean_abs,
            p99_abs=p99_abs,
            same_top=same_top,
        )

        differences.additional_properties = d
        return differences

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
