from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.project_api_key_body_scopes_item import (
    ProjectApiKeyBodyScopesItem,
    check_project_api_key_body_scopes_item,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="ProjectApiKeyBody")


@_attrs_define
class ProjectApiKeyBody:
    """
    Attributes:
        name (str):
        scopes (list[ProjectApiKeyBodyScopesItem] | Unset): What the key may do in its project: `read`, `write` and
            `infer`, or `admin` for all of them. All of
            them by default.
        expires_in_seconds (int | None | Unset): The key never expires by default.
    """

    name: str
    scopes: list[ProjectApiKeyBodyScopesItem] | Unset = UNSET
    expires_in_seconds: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
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

        field_dict.update(
            {
                "name": name,
            }
        )
        if scopes is not UNSET:
            field_dict["scopes"] = scopes
        if expires_in_seconds is not UNSET:
            field_dict["expires_in_seconds"] = expires_in_seconds

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        _scopes = d.pop("scopes", UNSET)
        scopes: list[ProjectApiKeyBodyScopesItem] | Unset = UNSET
        if _scopes is not UNSET:
            scopes = []
            for scopes_item_data in _scopes:
                scopes_item = check_project_api_key_body_scopes_item(scopes_item_data)

                scopes.append(scopes_item)

        def _parse_expires_in_seconds(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        expires_in_seconds = _parse_expires_in_seconds(d.pop("expires_in_seconds", UNSET))

        project_api_key_body = cls(
            name=name,
            scopes=scopes,
            expires_in_seconds=expires_in_seconds,
        )

        return project_api_key_body
