from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="ProjectEncryptionBody")


@_attrs_define
class ProjectEncryptionBody:
    """
    Attributes:
        key (str): A key of the store: of AWS's KMS by its ARN, of other stores by its name. No alias, because that may
            come to mean another key.
    """

    key: str

    def to_dict(self) -> dict[str, Any]:
        key = self.key

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "key": key,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        key = d.pop("key")

        project_encryption_body = cls(
            key=key,
        )

        return project_encryption_body
