from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="WorkerRange")


@_attrs_define
class WorkerRange:
    """An elastic job, which runs with any number of workers from `min` to `max` that divides its work evenly
    and for which devices are free. The batch size does not depend on the number of workers.

        Attributes:
            min_ (int): Minimum number of workers.
            max_ (int): Maximum number of workers.
    """

    min_: int
    max_: int

    def to_dict(self) -> dict[str, Any]:
        min_ = self.min_

        max_ = self.max_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "min": min_,
                "max": max_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        min_ = d.pop("min")

        max_ = d.pop("max")

        worker_range = cls(
            min_=min_,
            max_=max_,
        )

        return worker_range
