from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.stored_kind import StoredKind


T = TypeVar("T", bound="ProjectStorage")


@_attrs_define
class ProjectStorage:
    """What a project had in storage when the last sweep counted it, object by object.

    Attributes:
        id (str):
        object_ (Literal['project.storage']):  Default: 'project.storage'.
        objects (int):
        bytes_ (int):
        kinds (list[StoredKind]):
    """

    id: str
    objects: int
    bytes_: int
    kinds: list[StoredKind]
    object_: Literal["project.storage"] = "project.storage"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        objects = self.objects

        bytes_ = self.bytes_

        kinds = []
        for kinds_item_data in self.kinds:
            kinds_item = kinds_item_data.to_dict()
            kinds.append(kinds_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "objects": objects,
                "bytes": bytes_,
                "kinds": kinds,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.stored_kind import StoredKind  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["project.storage"], d.pop("object"))
        if object_ != "project.storage":
            raise ValueError(f"object must match const 'project.storage', got '{object_}'")

        objects = d.pop("objects")

        bytes_ = d.pop("bytes")

        kinds = []
        _kinds = d.pop("kinds")
        for kinds_item_data in _kinds:
            kinds_item = StoredKind.from_dict(kinds_item_data)

            kinds.append(kinds_item)

        project_storage = cls(
            id=id,
            object_=object_,
            objects=objects,
            bytes_=bytes_,
            kinds=kinds,
        )

        project_storage.additional_properties = d
        return project_storage

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
