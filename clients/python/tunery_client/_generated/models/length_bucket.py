from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="LengthBucket")


@_attrs_define
class LengthBucket:
    """
    Attributes:
        up_to (int): Maximum length in this bucket. The bucket begins above the maximum of the previous one.
        count (int):
    """

    up_to: int
    count: int

    def to_dict(self) -> dict[str, Any]:
        up_to = self.up_to

        count = self.count

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "up_to": up_to,
                "count": count,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        up_to = d.pop("up_to")

        count = d.pop("count")

        length_bucket = cls(
            up_to=up_to,
            count=count,
        )

        return length_bucket
