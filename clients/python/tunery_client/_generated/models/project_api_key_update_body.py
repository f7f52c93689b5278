from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.project_api_key_update_body_scopes_type_0_item import (
    ProjectApiKeyUpdateBodyScopesType0Item,
    check_project_api_key_update_body_scopes_type_0_item,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="ProjectApiKeyUpdateBody")


@_attrs_define
class ProjectApiKeyUpdateBody:
    """
    Attributes:
        scopes (list[ProjectApiKeyUpdateBodyScopesType0Item] | None | Unset): Replaces what the key may do; an empty
            list means `read`, `write` and `infer`.
        expires_in_seconds (int | None | Unset): Seconds from now until the key expires.
    """

    scopes: list[ProjectApiKeyUpdateBodyScopesType0Item] | None | Unset = UNSET
    expires_in_seconds: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        scopes: list[str] | None | Unset
        if isinstance(self.scopes, Unset):
            scopes = UNSET
        elif isinstance(self.scopes, list):
            scopes = []
            for scopes_type_0_item_data in self.scopes:
                scopes_type_0_item: str = scopes_type_0_item_data
                scopes.append(scopes_type_0_item)

        else:
            scopes = self.scopes

        expires_in_seconds: int | None | Unset
        if isinstance(self.expires_in_seconds, Unset):
            expires_in_seconds = UNSET
        else:
            expires_in_seconds = self.expires_in_seconds

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if scopes is not UNSET:
            field_dict["scopes"] = scopes
        if expires_in_seconds is not UNSET:
            field_dict["expires_in_seconds"] = expires_in_seconds

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_scopes(data: object) -> list[ProjectApiKeyUpdateBodyScopesType0Item] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                scopes_type_0 = []
                _scopes_type_0 = data
                for scopes_type_0_item_data in _scopes_type_0:
                    scopes_type_0_item = check_project_api_key_update_body_scopes_type_0_item(
                        scopes_type_0_item_data
                    )

                    scopes_type_0.append(scopes_type_0_item)

                return scopes_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ProjectApiKeyUpdateBodyScopesType0Item] | None | Unset, data)

        scopes = _parse_scopes(d.pop("scopes", UNSET))

        def _parse_expires_in_seconds(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        expires_in_seconds = _parse_expires_in_seconds(d.pop("expires_in_seconds", UNSET))

        project_api_key_update_body = cls(
            scopes=scopes,
            expires_in_seconds=expires_in_seconds,
        )

        return project_api_key_update_body
