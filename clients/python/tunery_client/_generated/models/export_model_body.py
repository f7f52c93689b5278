from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.export_model_body_format import (
    ExportModelBodyFormat,
    check_export_model_body_format,
)
from ..models.export_model_body_quantization_type_0 import (
    ExportModelBodyQuantizationType0,
    check_export_model_body_quantization_type_0,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="ExportModelBody")


@_attrs_define
class ExportModelBody:
    """
    Attributes:
        format_ (ExportModelBodyFormat): `merged`: a folder for transformers, with the adapter merged into its base.
            `gguf`: files for llama.cpp
            and programs based on it.
        quantization (ExportModelBodyQuantizationType0 | None | Unset): How GGUF files store matrices. `f16`, the
            default: half precision. `bf16`: bfloat16. `q8_0`: 8 bits,
            about half the size.
    """

    format_: ExportModelBodyFormat
    quantization: ExportModelBodyQuantizationType0 | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        format_: str = self.format_

        quantization: None | str | Unset
        if isinstance(self.quantization, Unset):
            quantization = UNSET
        elif isinstance(self.quantization, str):
            quantization = self.quantization
        else:
            quantization = self.quantization

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "format": format_,
            }
        )
        if quantization is not UNSET:
            field_dict["quantization"] = quantization

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        format_ = check_export_model_body_format(d.pop("format"))

        def _parse_quantization(data: object) -> ExportModelBodyQuantizationType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                quantization_type_0 = check_export_model_body_quantization_type_0(data)

                return quantization_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ExportModelBodyQuantizationType0 | None | Unset, data)

        quantization = _parse_quantization(d.pop("quantization", UNSET))

        export_model_body = cls(
            format_=format_,
            quantization=quantization,
        )

        return export_model_body
