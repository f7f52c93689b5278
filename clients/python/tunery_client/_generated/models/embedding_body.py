from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.embedding_body_encoding_format_type_0 import (
    EmbeddingBodyEncodingFormatType0,
    check_embedding_body_encoding_format_type_0,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="EmbeddingBody")


@_attrs_define
class EmbeddingBody:
    """
    Attributes:
        model (str): An encoder, or a model tuned from one.
        input_ (list[int] | list[list[int]] | list[str] | str): A text, texts, one text as token ids, or several such
            lists. Token ids are used as they are: the caller
            must add any special tokens.
        dimensions (int | None | Unset): Cut each vector to this length, and scale it to length 1 again.
        encoding_format (EmbeddingBodyEncodingFormatType0 | None | Unset): `float` if absent. `base64`: little-endian
            float32 numbers.
        user (None | str | Unset): Accepted, without effect.
    """

    model: str
    input_: list[int] | list[list[int]] | list[str] | str
    dimensions: int | None | Unset = UNSET
    encoding_format: EmbeddingBodyEncodingFormatType0 | None | Unset = UNSET
    user: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        input_: list[int] | list[list[int]] | list[str] | str
        if isinstance(self.input_, list):
            input_ = self.input_

        elif isinstance(self.input_, list):
            input_ = self.input_

        elif isinstance(self.input_, list):
            input_ = []
            for input_type_3_item_data in self.input_:
                input_type_3_item = input_type_3_item_data

                input_.append(input_type_3_item)

        else:
            input_ = self.input_

        dimensions: int | None | Unset
        if isinstance(self.dimensions, Unset):
            dimensions = UNSET
        else:
            dimensions = self.dimensions

        encoding_format: None | str | Unset
        if isinstance(self.encoding_format, Unset):
            encoding_format = UNSET
        elif isinstance(self.encoding_format, str):
            encoding_format = self.encoding_format
        else:
            encoding_format = self.encoding_format

        user: None | str | Unset
        if isinstance(self.user, Unset):
            user = UNSET
        else:
            user = self.user

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "model": model,
                "input": input_,
            }
        )
        if dimensions is not UNSET:
            field_dict["dimensions"] = dimensions
        if encoding_format is not UNSET:
            field_dict["encoding_format"] = encoding_format
        if user is not UNSET:
            field_dict["user"] = user

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        model = d.pop("model")

        def _parse_input_(data: object) -> list[int] | list[list[int]] | list[str] | str:
            try:
                if not isinstance(data, list):
                    raise TypeError()
                input_type_1 = cast(list[str], data)

                return input_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, list):
                    raise TypeError()
                input_type_2 = cast(list[int], data)

                return input_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, list):
                    raise TypeError()
                input_type_3 = []
                _input_type_3 = data
                for input_type_3_item_data in _input_type_3:
                    input_type_3_item = cast(list[int], input_type_3_item_data)

                    input_type_3.append(input_type_3_item)

                return input_type_3
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[int] | list[list[int]] | list[str] | str, data)

        input_ = _parse_input_(d.pop("input"))

        def _parse_dimensions(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        dimensions = _parse_dimensions(d.pop("dimensions", UNSET))

        def _parse_encoding_format(data: object) -> EmbeddingBodyEncodingFormatType0 | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                encoding_format_type_0 = check_embedding_body_encoding_format_type_0(data)

                return encoding_format_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(EmbeddingBodyEncodingFormatType0 | None | Unset, data)

        encoding_format = _parse_encoding_format(d.pop("encoding_format", UNSET))

        def _parse_user(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        user = _parse_user(d.pop("user", UNSET))

        embedding_body = cls(
            model=model,
            input_=input_,
            dimensions=dimensions,
            encoding_format=encoding_format,
            user=user,
        )

        return embedding_body
