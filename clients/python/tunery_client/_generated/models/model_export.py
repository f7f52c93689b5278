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

from ..models.model_export_format import ModelExportFormat, check_model_export_format
from ..models.model_export_quantization_type_0 import (
    ModelExportQuantizationType0,
    check_model_export_quantization_type_0,
)
from ..models.model_export_status import ModelExportStatus, check_model_export_status

if TYPE_CHECKING:
    from ..models.export_error import ExportError
    from ..models.exported_bytes import ExportedBytes


T = TypeVar("T", bound="ModelExport")


@_attrs_define
class ModelExport:
    """
    Attributes:
        object_ (Literal['model.export']):  Default: 'model.export'.
        id (str):
        model (str):
        format_ (ModelExportFormat):
        quantization (ModelExportQuantizationType0 | None): Null for `merged`.
        status (ModelExportStatus):
        bytes_ (ExportedBytes): How much of an export is stored.
        error (ExportError | None): Why the export failed.
        created_at (int):
        finished_at (int | None):
        expires_at (int | None): When it will be deleted; null until it has ended.
    """

    id: str
    model: str
    format_: ModelExportFormat
    quantization: ModelExportQuantizationType0 | None
    status: ModelExportStatus
    bytes_: ExportedBytes
    error: ExportError | None
    created_at: int
    finished_at: int | None
    expires_at: int | None
    object_: Literal["model.export"] = "model.export"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.export_error import ExportError  # noqa: PLC0415

        object_ = self.object_

        id = self.id

        model = self.model

        format_: str = self.format_

        quantization: None | str
        if isinstance(self.quantization, str):
            quantization = self.quantization
        else:
            quantization = self.quantization

        status: str = self.status

        bytes_ = self.bytes_.to_dict()

        error: dict[str, Any] | None
        if isinstance(self.error, ExportError):
            error = self.error.to_dict()
        else:
            error = self.error

        created_at = self.created_at

        finished_at: int | None
        finished_at = self.finished_at

        expires_at: int | None
        expires_at = self.expires_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "id": id,
                "model": model,
                "format": format_,
                "quantization": quantization,
                "status": status,
                "bytes": bytes_,
                "error": error,
                "created_at": created_at,
                "finished_at": finished_at,
                "expires_at": expires_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.export_error import ExportError  # noqa: PLC0415
        from ..models.exported_bytes import ExportedBytes  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["model.export"], d.pop("object"))
        if object_ != "model.export":
            raise ValueError(f"object must match const 'model.export', got '{object_}'")

        id = d.pop("id")

        model = d.pop("model")

        format_ = check_model_export_format(d.pop("format"))

        def _parse_quantization(data: object) -> ModelExportQuantizationType0 | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                quantization_type_0 = check_model_export_quantization_type_0(data)

                return quantization_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ModelExportQuantizationType0 | None, data)

        quantization = _parse_quantization(d.pop("quantization"))

        status = check_model_export_status(d.pop("status"))

        bytes_ = ExportedBytes.from_dict(d.pop("bytes"))

        def _parse_error(data: object) -> ExportError | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                error_type_0 = ExportError.from_dict(data)

                return error_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ExportError | None, data)

        error = _parse_error(d.pop("error"))

        created_at = d.pop("created_at")

        def _parse_finished_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        finished_at = _parse_finished_at(d.pop("finished_at"))

        def _parse_expires_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        expires_at = _parse_expires_at(d.pop("expires_at"))

        model_export = cls(
            object_=object_,
            id=id,
            model=model,
            format_=format_,
            quantization=quantization,
            status=status,
            bytes_=bytes_,
            error=error,
            created_at=created_at,
            finished_at=finished_at,
            expires_at=expires_at,
        )

        model_export.additional_properties = d
        return model_export

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
