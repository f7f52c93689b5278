from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.flat_json_schema_format import FlatJsonSchemaFormat
    from ..models.json_object_format import JsonObjectFormat
    from ..models.text_format import TextFormat


T = TypeVar("T", bound="TextSettings")


@_attrs_define
class TextSettings:
    """
    Attributes:
        format_ (FlatJsonSchemaFormat | JsonObjectFormat | None | TextFormat | Unset): The format of the answer. With a
            JSON format, the answer is always valid JSON, or the beginning of it
            if it is cut off.
        verbosity (None | str | Unset): Accepted, without effect.
    """

    format_: FlatJsonSchemaFormat | JsonObjectFormat | None | TextFormat | Unset = UNSET
    verbosity: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.flat_json_schema_format import FlatJsonSchemaFormat  # noqa: PLC0415
        from ..models.json_object_format import JsonObjectFormat  # noqa: PLC0415
        from ..models.text_format import TextFormat  # noqa: PLC0415

        format_: dict[str, Any] | None | Unset
        if isinstance(self.format_, Unset):
            format_ = UNSET
        elif isinstance(self.format_, TextFormat):
            format_ = self.format_.to_dict()
        elif isinstance(self.format_, JsonObjectFormat):
            format_ = self.format_.to_dict()
        elif isinstance(self.format_, FlatJsonSchemaFormat):
            format_ = self.format_.to_dict()
        else:
            format_ = self.format_

        verbosity: None | str | Unset
        if isinstance(self.verbosity, Unset):
            verbosity = UNSET
        else:
            verbosity = self.verbosity

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if format_ is not UNSET:
            field_dict["format"] = format_
        if verbosity is not UNSET:
            field_dict["verbosity"] = verbosity

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.flat_json_schema_format import FlatJsonSchemaFormat  # noqa: PLC0415
        from ..models.json_object_format import JsonObjectFormat  # noqa: PLC0415
        from ..models.text_format import TextFormat  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_format_(
            data: object,
        ) -> FlatJsonSchemaFormat | JsonObjectFormat | None | TextFormat | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                format_type_0_type_0 = TextFormat.from_dict(data)

                return format_type_0_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                format_type_0_type_1 = JsonObjectFormat.from_dict(data)

                return format_type_0_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                format_type_0_type_2 = FlatJsonSchemaFormat.from_dict(data)

                return format_type_0_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(FlatJsonSchemaFormat | JsonObjectFormat | None | TextFormat | Unset, data)

        format_ = _parse_format_(d.pop("format", UNSET))

        def _parse_verbosity(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        verbosity = _parse_verbosity(d.pop("verbosity", UNSET))

        text_settings = cls(
            format_=format_,
            verbosity=verbosity,
        )

        return text_settings
