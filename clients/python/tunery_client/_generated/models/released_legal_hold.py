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

T = TypeVar("T", bound="ReleasedLegalHold")


@_attrs_define
class ReleasedLegalHold:
    """
    Attributes:
        id (str):
        object_ (Literal['project.legal_hold']):  Default: 'project.legal_hold'.
        deleted (bool):  Default: True.
    """

    id: str
    object_: Literal["project.legal_hold"] = "project.legal_hold"
    deleted: bool = True
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        deleted = self.deleted

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "deleted": deleted,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["project.legal_hold"], d.pop("object"))
        if object_ != "project.legal_hold":
            raise ValueError(f"object must match const 'project.legal_hold', got '{object_}'")

        deleted = d.pop("deleted")

        released_legal_hold = cls(
            id=id,
            object_=object_,
            deleted=deleted,
        )

        released_legal_hold.additional_properties = d
        return released_legal_hold

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
