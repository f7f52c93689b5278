from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="SetAliasBody")


@_attrs_define
class SetAliasBody:
    """
    Attributes:
        alias (str): A name such as `support@prod`: what the model is for, and its stage. It may also be the name that a
            tuned model had elsewhere, so that requests with that name keep working: OpenAI's `ft:…`, or Azure's
            `gpt-4o-mini.ft-…`. No model of this server may have it.
        version (int | None | Unset): The version that the alias must have now, or 0 if it must be new. If it has
            another one, nothing is
            changed and the answer is 409 `version_conflict`. Without it, the last writer wins.
    """

    alias: str
    version: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        alias = self.alias

        version: int | None | Unset
        if isinstance(self.version, Unset):
            version = UNSET
        else:
            version = self.version

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "alias": alias,
            }
        )
        if version is not UNSET:
            field_dict["version"] = version

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        alias = d.pop("alias")

        def _parse_version(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        version = _parse_version(d.pop("version", UNSET))

        set_alias_body = cls(
            alias=alias,
            version=version,
        )

        return set_alias_body
