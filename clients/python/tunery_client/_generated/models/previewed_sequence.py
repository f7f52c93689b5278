from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.previewed_sequence_role import (
    PreviewedSequenceRole,
    check_previewed_sequence_role,
)

if TYPE_CHECKING:
    from ..models.previewed_token import PreviewedToken


T = TypeVar("T", bound="PreviewedSequence")


@_attrs_define
class PreviewedSequence:
    """
    Attributes:
        role (PreviewedSequenceRole): The two answers of a preference are two sequences. A chat has one sequence per
            learned answer if the
            base's chat template renders answers differently once others follow; any other row is a single
            sequence.
        tokens (list[PreviewedToken]):
    """

    role: PreviewedSequenceRole
    tokens: list[PreviewedToken]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        role: str = self.role

        tokens = []
        for tokens_item_data in self.tokens:
            tokens_item = tokens_item_data.to_dict()
            tokens.append(tokens_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "role": role,
                "tokens": tokens,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.previewed_token import PreviewedToken  # noqa: PLC0415

        d = dict(src_dict)
        role = check_previewed_sequence_role(d.pop("role"))

        tokens = []
        _tokens = d.pop("tokens")
        for tokens_item_data in _tokens:
            tokens_item = PreviewedToken.from_dict(tokens_item_data)

            tokens.append(tokens_item)

        previewed_sequence = cls(
            role=role,
            tokens=tokens,
        )

        previewed_sequence.additional_properties = d
        return previewed_sequence

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
