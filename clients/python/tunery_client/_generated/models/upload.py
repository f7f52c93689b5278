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

from ..models.file_purpose import FilePurpose, check_file_purpose
from ..models.upload_status import UploadStatus, check_upload_status

if TYPE_CHECKING:
    from ..models.file_object import FileObject


T = TypeVar("T", bound="Upload")


@_attrs_define
class Upload:
    """A file that is uploaded in parts.

    Attributes:
        id (str):
        object_ (Literal['upload']):  Default: 'upload'.
        bytes_ (int):
        created_at (int):
        expires_at (int): When the upload expires unless it is completed.
        filename (str):
        purpose (FilePurpose):
        status (UploadStatus):
        file (FileObject | None): The file, once the upload is completed, unless it was deleted or has expired since.
    """

    id: str
    bytes_: int
    created_at: int
    expires_at: int
    filename: str
    purpose: FilePurpose
    status: UploadStatus
    file: FileObject | None
    object_: Literal["upload"] = "upload"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.file_object import FileObject  # noqa: PLC0415

        id = self.id

        object_ = self.object_

        bytes_ = self.bytes_

        created_at = self.created_at

        expires_at = self.expires_at

        filename = self.filename

        purpose: str = self.purpose

        status: str = self.status

        file: dict[str, Any] | None
        if isinstance(self.file, FileObject):
            file = self.file.to_dict()
        else:
            file = self.file

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "bytes": bytes_,
                "created_at": created_at,
                "expires_at": expires_at,
                "filename": filename,
                "purpose": purpose,
                "status": status,
                "file": file,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.file_object import FileObject  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["upload"], d.pop("object"))
        if object_ != "upload":
            raise ValueError(f"object must match const 'upload', got '{object_}'")

        bytes_ = d.pop("bytes")

        created_at = d.pop("created_at")

        expires_at = d.pop("expires_at")

        filename = d.pop("filename")

        purpose = check_file_purpose(d.pop("purpose"))

        status = check_upload_status(d.pop("status"))

        def _parse_file(data: object) -> FileObject | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                file_type_0 = FileObject.from_dict(data)

                return file_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(FileObject | None, data)

        file = _parse_file(d.pop("file"))

        upload = cls(
            id=id,
            object_=object_,
            bytes_=bytes_,
            created_at=created_at,
            expires_at=expires_at,
            filename=filename,
            purpose=purpose,
            status=status,
            file=file,
        )

        upload.additional_properties = d
        return upload

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
