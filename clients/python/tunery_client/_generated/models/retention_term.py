from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.retention_term_days_type_1 import (
    RetentionTermDaysType1,
    check_retention_term_days_type_1,
)
from ..models.retention_term_set_by import (
    RetentionTermSetBy,
    check_retention_term_set_by,
)

T = TypeVar("T", bound="RetentionTerm")


@_attrs_define
class RetentionTerm:
    """
    Attributes:
        days (float | RetentionTermDaysType1):
        set_by (RetentionTermSetBy):
    """

    days: float | RetentionTermDaysType1
    set_by: RetentionTermSetBy
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        days: float | str
        if isinstance(self.days, str):
            days = self.days
        else:
            days = self.days

        set_by: str = self.set_by

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "days": days,
                "set_by": set_by,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_days(data: object) -> float | RetentionTermDaysType1:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                days_type_1 = check_retention_term_days_type_1(data)

                return days_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(float | RetentionTermDaysType1, data)

        days = _parse_days(d.pop("days"))

        set_by = check_retention_term_set_by(d.pop("set_by"))

        retention_term = cls(
            days=days,
            set_by=set_by,
        )

        retention_term.additional_properties = d
        return retention_term

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
