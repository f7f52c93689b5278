from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.text_pair import TextPair


T = TypeVar("T", bound="ClassificationBody")


@_attrs_define
class ClassificationBody:
    """
    Attributes:
        model (str): A model tuned from an encoder.
        input_ (list[list[str]] | list[str] | list[TextPair] | str): The texts to classify. A model that classifies
            texts takes a text, texts, or pairs of texts; a model
            that classifies words takes lists of words.
    """

    model: str
    input_: list[list[str]] | list[str] | list[TextPair] | str

    def to_dict(self) -> dict[str, Any]:
        model = self.model

        input_: list[dict[str, Any]] | list[list[str]] | list[str] | str
        if isinstance(self.input_, list):
            input_ = self.input_

        elif isinstance(self.input_, list):
            input_ = []
            for input_type_2_item_data in self.input_:
                input_type_2_item = input_type_2_item_data

                input_.append(input_type_2_item)

        elif isinstance(self.input_, list):
            input_ = []
            for input_type_3_item_data in self.input_:
                input_type_3_item = input_type_3_item_data.to_dict()
                input_.append(input_type_3_item)

        else:
            input_ = self.input_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "model": model,
                "input": input_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.text_pair import TextPair  # noqa: PLC0415

        d = dict(src_dict)
        model = d.pop("model")

        def _parse_input_(data: object) -> list[list[str]] | list[str] | list[TextPair] | str:
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
                input_type_2 = []
                _input_type_2 = data
                for input_type_2_item_data in _input_type_2:
                    input_type_2_item = cast(list[str], input_type_2_item_data)

                    input_type_2.append(input_type_2_item)

                return input_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, list):
                    raise TypeError()
                input_type_3 = []
                _input_type_3 = data
                for input_type_3_item_data in _input_type_3:
                    input_type_3_item = TextPair.from_dict(input_type_3_item_data)

                    input_type_3.append(input_type_3_item)

                return input_type_3
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[list[str]] | list[str] | list[TextPair] | str, data)

        input_ = _parse_input_(d.pop("input"))

        classification_body = cls(
            model=model,
            input_=input_,
        )

        return classification_body
