from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="CheckpointPermissionsBody")


@_attrs_define
class CheckpointPermissionsBody:
    """
    Attributes:
        project_ids (list[str]): Projects of the organization that may use the model or checkpoint.
    """

    project_ids: list[str]

    def to_dict(self) -> dict[str, Any]:
        project_ids = self.project_ids

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "project_ids": project_ids,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        project_ids = cast(list[str], d.pop("project_ids"))

        checkpoint_permissions_body = cls(
            project_ids=project_ids,
        )

        return checkpoint_permissions_body
