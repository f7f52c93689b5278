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

T = TypeVar("T", bound="ServiceAccountKey")


@_attrs_define
class ServiceAccountKey:
    """
    Attributes:
        id (str):
        object_ (Literal['organization.project.service_account.api_key']):  Default:
            'organization.project.service_account.api_key'.
        name (str):
        value (str): The key, which is shown only once.
        created_at (int):
        expires_at (int | None):
    """

    id: str
    name: str
    value: str
    created_at: int
    expires_at: int | None
    object_: Literal["organization.project.service_account.api_key"] = (
        "organization.project.service_account.api_key"
    )
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        name = self.name

        value = self.value

        created_at = self.created_at

        expires_at: int | None
        expires_at = self.expires_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "name": name,
                "value": value,
                "created_at": created_at,
                "expires_at": expires_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["organization.project.service_account.api_key"], d.pop("object"))
        if object_ != "organization.project.service_account.api_key":
            raise ValueError(
                f"object must match const 'organization.project.service_account.api_key', got '{object_}'"
            )

        name = d.pop("name")

        value = d.pop("value")

        created_at = d.pop("created_at")

        def _parse_expires_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        expires_at = _parse_expires_at(d.pop("expires_at"))

        service_account_key = cls(
            id=id,
            object_=object_,
            name=name,
            value=value,
            created_at=created_at,
            expires_at=expires_at,
        )

        service_account_key.additional_properties = d
        return service_account_key

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
