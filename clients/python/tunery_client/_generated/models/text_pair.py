from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="TextPair")


@_attrs_define
class TextPair:
    """Input for a model that was tuned on pairs of texts.

    Attributes:
        text (str):
        text_pair (str):
    """

    text: str
    text_pair: str

    def to_dict(self) -> dict[str, Any]:
        text = self.text

        text_pair = self.text_pair

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "text": text,
                "text_pair": text_pair,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        text = d.pop("text")

        text_pair = d.pop("text_pair")

        text_pair = cls(
            text=text,
            text_pair=text_pair,
        )

        return text_pair
