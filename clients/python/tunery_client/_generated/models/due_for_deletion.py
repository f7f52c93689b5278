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

from ..models.due_for_deletion_kind import (
    DueForDeletionKind,
    check_due_for_deletion_kind,
)

T = TypeVar("T", bound="DueForDeletion")


@_attrs_define
class DueForDeletion:
    """
    Attributes:
        object_ (Literal['project.retention.due']):  Default: 'project.retention.due'.
        kind (DueForDeletionKind):
        count (int): Files, checkpoints, resume states or exports; rows of events; hours of usage.
        bytes_ (int | None): In storage. null if there are too many to look at now.
        oldest_at (int | None):
    """

    kind: DueForDeletionKind
    count: int
    bytes_: int | None
    oldest_at: int | None
    object_: Literal["project.retention.due"] = "project.retention.due"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        kind: str = self.kind

        count = self.count

        bytes_: int | None
        bytes_ = self.bytes_

        oldest_at: int | None
        oldest_at = self.oldest_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "kind": kind,
                "count": count,
                "bytes": bytes_,
                "oldest_at": oldest_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        object_ = cast(Literal["project.retention.due"], d.pop("object"))
        if object_ != "project.retention.due":
            raise ValueError(f"object must match const 'project.retention.due', got '{object_}'")

        kind = check_due_for_deletion_kind(d.pop("kind"))

        count = d.pop("count")

        def _parse_bytes_(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        bytes_ = _parse_bytes_(d.pop("bytes"))

        def _parse_oldest_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        oldest_at = _parse_oldest_at(d.pop("oldest_at"))

        due_for_deletion = cls(
            object_=object_,
            kind=kind,
            count=count,
            bytes_=bytes_,
            oldest_at=oldest_at,
        )

        due_for_deletion.additional_properties = d
        return due_for_deletion

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
