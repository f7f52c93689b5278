from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="LabelCount")


@_attrs_define
class LabelCount:
    """
    Attributes:
        label (None | str): The label. Null for a text that looks like a secret or personal data.
        count (int):
    """

    label: None | str
    count: int

    def to_dict(self) -> dict[str, Any]:
        label: None | str
        label = self.label

        count = self.count

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "label": label,
                "count": count,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_label(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        label = _parse_label(d.pop("label"))

        count = d.pop("count")

        label_count = cls(
            label=label,
            count=count,
        )

        return label_count
