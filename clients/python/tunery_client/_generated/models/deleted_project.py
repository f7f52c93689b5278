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
    from ..models.deleted_project_rows import DeletedProjectRows


T = TypeVar("T", bound="DeletedProject")


@_attrs_define
class DeletedProject:
    """
    Attributes:
        id (str):
        object_ (Literal['organization.project.deleted']):  Default: 'organization.project.deleted'.
        deleted (bool):  Default: True.
        rows (DeletedProjectRows): How many rows were deleted, by table.
    """

    id: str
    rows: DeletedProjectRows
    object_: Literal["organization.project.deleted"] = "organization.project.deleted"
    deleted: bool = True
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        deleted = self.deleted

        rows = self.rows.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "deleted": deleted,
                "rows": rows,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.deleted_project_rows import DeletedProjectRows  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["organization.project.deleted"], d.pop("object"))
        if object_ != "organization.project.deleted":
            raise ValueError(f"object must match const 'organization.project.deleted', got '{object_}'")

        deleted = d.pop("deleted")

        rows = DeletedProjectRows.from_dict(d.pop("rows"))

        deleted_project = cls(
            id=id,
            object_=object_,
            deleted=deleted,
            rows=rows,
        )

        deleted_project.additional_properties = d
        return deleted_project

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
