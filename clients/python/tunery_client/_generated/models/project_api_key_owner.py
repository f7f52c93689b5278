from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.project_api_key_owner_type_type_0 import (
    ProjectApiKeyOwnerTypeType0,
    check_project_api_key_owner_type_type_0,
)

if TYPE_CHECKING:
    from ..models.service_account_owner import ServiceAccountOwner


T = TypeVar("T", bound="ProjectApiKeyOwner")


@_attrs_define
class ProjectApiKeyOwner:
    """
    Attributes:
        type_ (None | ProjectApiKeyOwnerTypeType0): Null for a key of the project itself.
        service_account (None | ServiceAccountOwner):
        user (None):
    """

    type_: None | ProjectApiKeyOwnerTypeType0
    service_account: None | ServiceAccountOwner
    user: None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.service_account_owner import ServiceAccountOwner  # noqa: PLC0415

        type_: None | str
        if isinstance(self.type_, str):
            type_ = self.type_
        else:
            type_ = self.type_

        service_account: dict[str, Any] | None
        if isinstance(self.service_account, ServiceAccountOwner):
            service_account = self.service_account.to_dict()
        else:
            service_account = self.service_account

        user = self.user

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "service_account": service_account,
                "user": user,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.service_account_owner import ServiceAccountOwner  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_type_(data: object) -> None | ProjectApiKeyOwnerTypeType0:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                type_type_0 = check_project_api_key_owner_type_type_0(data)

                return type_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | ProjectApiKeyOwnerTypeType0, data)

        type_ = _parse_type_(d.pop("type"))

        def _parse_service_account(data: object) -> None | ServiceAccountOwner:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                service_account_type_0 = ServiceAccountOwner.from_dict(data)

                return service_account_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | ServiceAccountOwner, data)

        service_account = _parse_service_account(d.pop("service_account"))

        user = d.pop("user")

        project_api_key_owner = cls(
            type_=type_,
            service_account=service_account,
            user=user,
        )

        project_api_key_owner.additional_properties = d
        return project_api_key_owner

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
