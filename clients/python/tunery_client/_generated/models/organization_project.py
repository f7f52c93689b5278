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

from ..models.organization_project_status import (
    OrganizationProjectStatus,
    check_organization_project_status,
)

T = TypeVar("T", bound="OrganizationProject")


@_attrs_define
class OrganizationProject:
    """
    Attributes:
        id (str):
        object_ (Literal['organization.project']):  Default: 'organization.project'.
        name (str):
        created_at (int):
        archived_at (int | None):
        status (OrganizationProjectStatus):
    """

    id: str
    name: str
    created_at: int
    archived_at: int | None
    status: OrganizationProjectStatus
    object_: Literal["organization.project"] = "organization.project"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        name = self.name

        created_at = self.created_at

        archived_at: int | None
        archived_at = self.archived_at

        status: str = self.status

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "name": name,
                "created_at": created_at,
                "archived_at": archived_at,
                "status": status,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["organization.project"], d.pop("object"))
        if object_ != "organization.project":
            raise ValueError(f"object must match const 'organization.project', got '{object_}'")

        name = d.pop("name")

        created_at = d.pop("created_at")

        def _parse_archived_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        archived_at = _parse_archived_at(d.pop("archived_at"))

        status = check_organization_project_status(d.pop("status"))

        organization_project = cls(
            id=id,
            object_=object_,
            name=name,
            created_at=created_at,
            archived_at=archived_at,
            status=status,
        )

        organization_project.additional_properties = d
        return organization_project

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
