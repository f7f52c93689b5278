from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.api_key_extension_scopes_item import (
    ApiKeyExtensionScopesItem,
    check_api_key_extension_scopes_item,
)

T = TypeVar("T", bound="ApiKeyExtension")


@_attrs_define
class ApiKeyExtension:
    """Tunery's additions to OpenAI's key objects.

    Attributes:
        scopes (list[ApiKeyExtensionScopesItem]): What the key may do. For tokens: all that the operator's rules have
            granted to their subject so far.
        issuer (None | str): The identity provider of the tokens that this stands for, whose subject is `name`. Null for
            a key.
    """

    scopes: list[ApiKeyExtensionScopesItem]
    issuer: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        scopes = []
        for scopes_item_data in self.scopes:
            scopes_item: str = scopes_item_data
            scopes.append(scopes_item)

        issuer: None | str
        issuer = self.issuer

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "scopes": scopes,
                "issuer": issuer,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        scopes = []
        _scopes = d.pop("scopes")
        for scopes_item_data in _scopes:
            scopes_item = check_api_key_extension_scopes_item(scopes_item_data)

            scopes.append(scopes_item)

        def _parse_issuer(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        issuer = _parse_issuer(d.pop("issuer"))

        api_key_extension = cls(
            scopes=scopes,
            issuer=issuer,
        )

        api_key_extension.additional_properties = d
        return api_key_extension

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
