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

T = TypeVar("T", bound="ProjectEncryption")


@_attrs_define
class ProjectEncryption:
    """What was written before stays as it is.

    Attributes:
        object_ (Literal['project.encryption']):  Default: 'project.encryption'.
        id (str): The project's.
        key (None | str): null leaves encryption to the store, as its bucket is set up.
    """

    id: str
    key: None | str
    object_: Literal["project.encryption"] = "project.encryption"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        id = self.id

        key: None | str
        key = self.key

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "id": id,
                "key": key,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        object_ = cast(Literal["project.encryption"], d.pop("object"))
        if object_ != "project.encryption":
            raise ValueError(f"object must match const 'project.encryption', got '{object_}'")

        id = d.pop("id")

        def _parse_key(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        key = _parse_key(d.pop("key"))

        project_encryption = cls(
            object_=object_,
            id=id,
            key=key,
        )

        project_encryption.additional_properties = d
        return project_encryption

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
