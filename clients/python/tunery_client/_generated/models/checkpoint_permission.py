from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="CheckpointPermission")


@_attrs_define
class CheckpointPermission:
    """
    Attributes:
        id (str):
        object_ (Literal['checkpoint.permission']):  Default: 'checkpoint.permission'.
        project_id (str):
        created_at (int):
    """

    id: str
    project_id: str
    created_at: int
    object_: Literal["checkpoint.permission"] = "checkpoint.permission"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        project_id = self.project_id

        created_at = self.created_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "project_id": project_id,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["checkpoint.permission"], d.pop("object"))
        if object_ != "checkpoint.permission":
            raise ValueError(f"object must match const 'checkpoint.permission', got '{object_}'")

        project_id = d.pop("project_id")

        created_at = d.pop("created_at")

        checkpoint_permission = cls(
            id=id,
            object_=object_,
            project_id=project_id,
            created_at=created_at,
        )

        checkpoint_permission.additional_properties = d
        return checkpoint_permission

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
