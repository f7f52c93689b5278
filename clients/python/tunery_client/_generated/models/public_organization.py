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

T = TypeVar("T", bound="PublicOrganization")


@_attrs_define
class PublicOrganization:
    """
    Attributes:
        id (str):
        object_ (Literal['organization']):  Default: 'organization'.
        name (str):
        created_at (int):
    """

    id: str
    name: str
    created_at: int
    object_: Literal["organization"] = "organization"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        name = self.name

        created_at = self.created_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "name": name,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["organization"], d.pop("object"))
        if object_ != "organization":
            raise ValueError(f"object must match const 'organization', got '{object_}'")

        name = d.pop("name")

        created_at = d.pop("created_at")

        public_organization = cls(
            id=id,
            object_=object_,
            name=name,
            created_at=created_at,
        )

        public_organization.additional_properties = d
        return public_organization

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
