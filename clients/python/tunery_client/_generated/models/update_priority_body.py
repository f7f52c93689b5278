from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..models.update_priority_body_priority import (
    UpdatePriorityBodyPriority,
    check_update_priority_body_priority,
)

T = TypeVar("T", bound="UpdatePriorityBody")


@_attrs_define
class UpdatePriorityBody:
    """
    Attributes:
        priority (UpdatePriorityBodyPriority):
    """

    priority: UpdatePriorityBodyPriority

    def to_dict(self) -> dict[str, Any]:
        priority: str = self.priority

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "priority": priority,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        priority = check_update_priority_body_priority(d.pop("priority"))

        update_priority_body = cls(
            priority=priority,
        )

        return update_priority_body
