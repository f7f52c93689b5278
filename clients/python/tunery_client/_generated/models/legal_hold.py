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

from ..models.legal_hold_resource_type import (
    LegalHoldResourceType,
    check_legal_hold_resource_type,
)

T = TypeVar("T", bound="LegalHold")


@_attrs_define
class LegalHold:
    """
    Attributes:
        id (str):
        object_ (Literal['project.legal_hold']):  Default: 'project.legal_hold'.
        project_id (str):
        resource_type (LegalHoldResourceType):
        resource_id (str):
        reason (str):
        api_key_id (str): Id of the key of the administrator who placed the hold.
        created_at (int):
    """

    id: str
    project_id: str
    resource_type: LegalHoldResourceType
    resource_id: str
    reason: str
    api_key_id: str
    created_at: int
    object_: Literal["project.legal_hold"] = "project.legal_hold"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        project_id = self.project_id

        resource_type: str = self.resource_type

        resource_id = self.resource_id

        reason = self.reason

        api_key_id = self.api_key_id

        created_at = self.created_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "project_id": project_id,
                "resource_type": resource_type,
                "resource_id": resource_id,
                "reason": reason,
                "api_key_id": api_key_id,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["project.legal_hold"], d.pop("object"))
        if object_ != "project.legal_hold":
            raise ValueError(f"object must match const 'project.legal_hold', got '{object_}'")

        project_id = d.pop("project_id")

        resource_type = check_legal_hold_resource_type(d.pop("resource_type"))

        resource_id = d.pop("resource_id")

        reason = d.pop("reason")

        api_key_id = d.pop("api_key_id")

        created_at = d.pop("created_at")

        legal_hold = cls(
            id=id,
            object_=object_,
            project_id=project_id,
            resource_type=resource_type,
            resource_id=resource_id,
            reason=reason,
            api_key_id=api_key_id,
            created_at=created_at,
        )

        legal_hold.additional_properties = d
        return legal_hold

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
