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

T = TypeVar("T", bound="AdminApiKeyOwner")


@_attrs_define
class AdminApiKeyOwner:
    """The organization, in the form of OpenAI's users: Tunery has none.

    Attributes:
        type_ (Literal['user']):  Default: 'user'.
        object_ (Literal['organization.user']):  Default: 'organization.user'.
        id (str):
        name (str):
        created_at (int):
        role (Literal['owner']):  Default: 'owner'.
    """

    id: str
    name: str
    created_at: int
    type_: Literal["user"] = "user"
    object_: Literal["organization.user"] = "organization.user"
    role: Literal["owner"] = "owner"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        object_ = self.object_

        id = self.id

        name = self.name

        created_at = self.created_at

        role = self.role

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "object": object_,
                "id": id,
                "name": name,
                "created_at": created_at,
                "role": role,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["user"], d.pop("type"))
        if type_ != "user":
            raise ValueError(f"type must match const 'user', got '{type_}'")

        object_ = cast(Literal["organization.user"], d.pop("object"))
        if object_ != "organization.user":
            raise ValueError(f"object must match const 'organization.user', got '{object_}'")

        id = d.pop("id")

        name = d.pop("name")

        created_at = d.pop("created_at")

        role = cast(Literal["owner"], d.pop("role"))
        if role != "owner":
            raise ValueError(f"role must match const 'owner', got '{role}'")

        admin_api_key_owner = cls(
            type_=type_,
            object_=object_,
            id=id,
            name=name,
            created_at=created_at,
            role=role,
        )

        admin_api_key_owner.additional_properties = d
        return admin_api_key_owner

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
