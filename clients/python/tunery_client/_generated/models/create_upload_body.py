from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.upload_purpose import UploadPurpose, check_upload_purpose
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.expires_after import ExpiresAfter


T = TypeVar("T", bound="CreateUploadBody")


@_attrs_define
class CreateUploadBody:
    """
    Attributes:
        bytes_ (int): Size of the file. The parts must have as many bytes in total.
        filename (str):
        mime_type (str): The MIME type, for compatibility with OpenAI, which requires it. The file's name and purpose
            decide how
            it is read.
        purpose (UploadPurpose):
        expires_after (ExpiresAfter | None | Unset): Lifetime of the file, from its creation on. The upload itself has
            `expires_at`.
    """

    bytes_: int
    filename: str
    mime_type: str
    purpose: UploadPurpose
    expires_after: ExpiresAfter | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.expires_after import ExpiresAfter  # noqa: PLC0415

        bytes_ = self.bytes_

        filename = self.filename

        mime_type = self.mime_type

        purpose: str = self.purpose

        expires_after: dict[str, Any] | None | Unset
        if isinstance(self.expires_after, Unset):
            expires_after = UNSET
        elif isinstance(self.expires_after, ExpiresAfter):
            expires_after = self.expires_after.to_dict()
        else:
            expires_after = self.expires_after

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "bytes": bytes_,
                "filename": filename,
                "mime_type": mime_type,
                "purpose": purpose,
            }
        )
        if expires_after is not UNSET:
            field_dict["expires_after"] = expires_after

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.expires_after import ExpiresAfter  # noqa: PLC0415

        d = dict(src_dict)
        bytes_ = d.pop("bytes")

        filename = d.pop("filename")

        mime_type = d.pop("mime_type")

        purpose = check_upload_purpose(d.pop("purpose"))

        def _parse_expires_after(data: object) -> ExpiresAfter | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                expires_after_type_0 = ExpiresAfter.from_dict(data)

                return expires_after_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ExpiresAfter | None | Unset, data)

        expires_after = _parse_expires_after(d.pop("expires_after", UNSET))

        create_upload_body = cls(
            bytes_=bytes_,
            filename=filename,
            mime_type=mime_type,
            purpose=purpose,
            expires_after=expires_after,
        )

        return create_upload_body
