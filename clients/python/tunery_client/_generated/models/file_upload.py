from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from .. import types
from ..models.upload_purpose import UploadPurpose, check_upload_purpose
from ..types import UNSET, File, Unset

T = TypeVar("T", bound="FileUpload")


@_attrs_define
class FileUpload:
    """
    Attributes:
        file (File):
        purpose (UploadPurpose):
        expires_afteranchor (Literal['created_at'] | Unset):
        expires_afterseconds (int | Unset):
    """

    file: File
    purpose: UploadPurpose
    expires_afteranchor: Literal["created_at"] | Unset = UNSET
    expires_afterseconds: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        file = self.file.to_tuple()

        purpose: str = self.purpose

        expires_afteranchor = self.expires_afteranchor

        expires_afterseconds = self.expires_afterseconds

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "file": file,
                "purpose": purpose,
            }
        )
        if expires_afteranchor is not UNSET:
            field_dict["expires_after[anchor]"] = expires_afteranchor
        if expires_afterseconds is not UNSET:
            field_dict["expires_after[seconds]"] = expires_afterseconds

        return field_dict

    def to_multipart(self) -> types.RequestFiles:
        files: types.RequestFiles = []

        files.append(("file", self.file.to_tuple()))

        files.append(("purpose", (None, str(self.purpose).encode(), "text/plain")))

        if not isinstance(self.expires_afteranchor, Unset):
            files.append(("expires_after[anchor]", (None, self.expires_afteranchor, "text/plain")))

        if not isinstance(self.expires_afterseconds, Unset):
            files.append(
                ("expires_after[seconds]", (None, str(self.expires_afterseconds).encode(), "text/plain"))
            )

        for prop_name, prop in self.additional_properties.items():
            files.append((prop_name, (None, str(prop).encode(), "text/plain")))

        return files

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        file = File(payload=BytesIO(d.pop("file")))

        purpose = check_upload_purpose(d.pop("purpose"))

        expires_afteranchor = cast(Literal["created_at"] | Unset, d.pop("expires_after[anchor]", UNSET))
        if expires_afteranchor != "created_at" and not isinstance(expires_afteranchor, Unset):
            raise ValueError(
                f"expires_after[anchor] must match const 'created_at', got '{expires_afteranchor}'"
            )

        expires_afterseconds = d.pop("expires_after[seconds]", UNSET)

        file_upload = cls(
            file=file,
            purpose=purpose,
            expires_afteranchor=expires_afteranchor,
            expires_afterseconds=expires_afterseconds,
        )

        file_upload.additional_properties = d
        return file_upload

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
