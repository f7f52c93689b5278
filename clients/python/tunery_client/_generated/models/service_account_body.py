from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.service_account_body_scopes_item import (
    ServiceAccountBodyScopesItem,
    check_service_account_body_scopes_item,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="ServiceAccountBody")


@_attrs_define
class ServiceAccountBody:
    """
    Attributes:
        name (str):
        create_service_account_only (bool | None | Unset): Whether to make no key.
        scopes (list[ServiceAccountBodyScopesItem] | Unset): Scopes of the first key. A Tunery extension.
        expires_in_seconds (int | None | Unset): Seconds until the first key expires. It never expires by default.
    """

    name: str
    create_service_account_only: bool | None | Unset = UNSET
    scopes: list[ServiceAccountBodyScopesItem] | Unset = UNSET
    expires_in_seconds: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        create_service_account_only: bool | None | Unset
        if isinstance(self.create_service_account_only, Unset):
            create_service_account_only = UNSET
        else:
            create_service_account_only = self.create_service_account_only

        scopes: list[str] | Unset = UNSET
        if not isinstance(self.scopes, Unset):
            scopes = []
            for scopes_item_data in self.scopes:
                scopes_item: str = scopes_item_data
                scopes.append(scopes_item)

        expires_in_seconds: int | None | Unset
        if isinstance(self.expires_in_seconds, Unset):
            expires_in_seconds = UNSET
        else:
            expires_in_seconds = self.expires_in_seconds

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
            }
        )
        if create_service_account_only is not UNSET:
            field_dict["create_service_account_only"] = create_service_account_only
        if scopes is not UNSET:
            field_dict["scopes"] = scopes
        if expires_in_seconds is not UNSET:
            field_dict["expires_in_seconds"] = expires_in_seconds

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        def _parse_create_service_account_only(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        create_service_account_only = _parse_create_service_account_only(
            d.pop("create_service_account_only", UNSET)
        )

        _scopes = d.pop("scopes", UNSET)
        scopes: list[ServiceAccountBodyScopesItem] | Unset = UNSET
        if _scopes is not UNSET:
            scopes = []
            for scopes_item_data in _scopes:
                scopes_item = check_service_account_body_scopes_item(scopes_item_data)

                scopes.append(scopes_item)

        def _parse_expires_in_seconds(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        expires_in_seconds = _parse_expires_in_seconds(d.pop("expires_in_seconds", UNSET))

        service_account_body = cls(
            name=name,
            create_service_account_only=create_service_account_only,
            scopes=scopes,
            expires_in_seconds=expires_in_seconds,
        )

        return service_account_body
