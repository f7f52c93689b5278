from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="CompletionExtension")


@_attrs_define
class CompletionExtension:
    """Tunery's additions to OpenAI's request.

    Attributes:
        split_special_tokens (bool | Unset): Treat special tokens in a text prompt, such as `<|im_start|>`, as ordinary
            text. By default they are
            control tokens, because the caller of this route writes the whole prompt, including any chat template. Default:
            False.
    """

    split_special_tokens: bool | Unset = False

    def to_dict(self) -> dict[str, Any]:
        split_special_tokens = self.split_special_tokens

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if split_special_tokens is not UNSET:
            field_dict["split_special_tokens"] = split_special_tokens

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        split_special_tokens = d.pop("split_special_tokens", UNSET)

        completion_extension = cls(
            split_special_tokens=split_special_tokens,
        )

        return completion_extension
