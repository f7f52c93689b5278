from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.service_account_key_body_scopes_item import (
    ServiceAccountKeyBodyScopesItem,
    check_service_account_key_body_scopes_item,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="ServiceAccountKeyBody")


@_attrs_define
class ServiceAccountKeyBody:
    """
    Attributes:
        name (None | str | Unset): The service account's name by default.
        scopes (list[ServiceAccountKeyBodyScopesItem] | Unset): What the key may do in its project: `read`, `write` and
            `infer`, or `admin` for all of them. All of
            them by default.
        expires_in_seconds (int | None | Unset): The key never expires by default.
    """

    name: None | str | Unset = UNSET
    scopes: list[ServiceAccountKeyBodyScopesItem] | Unset = UNSET
    expires_in_seconds: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

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

        field_dict.update({})
        if name is not UNSET:
            field_dict["name"] = name
        if scopes is not UNSET:
            field_dict["scopes"] = scopes
        if expires_in_seconds is not UNSET:
            field_dict["expires_in_seconds"] = expires_in_seconds

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        _scopes = d.pop("scopes", UNSET)
        scopes: list[ServiceAccountKeyBodyScopesItem] | Unset = UNSET
        if _scopes is not UNSET:
            scopes = []
            for scopes_item_data in _scopes:
                scopes_item = check_service_account_key_body_scopes_item(scopes_item_data)

                scopes.append(scopes_item)

        def _parse_expires_in_seconds(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        expires_in_seconds = _parse_expires_in_seconds(d.pop("expires_in_seconds", UNSET))

        service_account_key_body = cls(
            name=name,
            scopes=scopes,
            expires_in_seconds=expires_in_seconds,
        )

        return service_account_key_body
