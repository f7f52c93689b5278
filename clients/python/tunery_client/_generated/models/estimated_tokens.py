from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.estimated_row import EstimatedRow


T = TypeVar("T", bound="EstimatedTokens")


@_attrs_define
class EstimatedTokens:
    """Exact token counts, as training will count them.

    Attributes:
        per_epoch (int):
        trained (int): Tokens over all epochs: the job's `trained_tokens`, unless early stopping ends it sooner.
        learned_per_epoch (int): Tokens that are part of the loss; for an encoder, the labels.
        held_out (int): Tokens in the validation file or the split.
        longest_rows (list[EstimatedRow]): The longest rows, longest first.
    """

    per_epoch: int
    trained: int
    learned_per_epoch: int
    held_out: int
    longest_rows: list[EstimatedRow]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        per_epoch = self.per_epoch

        trained = self.trained

        learned_per_epoch = self.learned_per_epoch

        held_out = self.held_out

        longest_rows = []
        for longest_rows_item_data in self.longest_rows:
            longest_rows_item = longest_rows_item_data.to_dict()
            longest_rows.append(longest_rows_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "per_epoch": per_epoch,
                "trained": trained,
                "learned_per_epoch": learned_per_epoch,
                "held_out": held_out,
                "longest_rows": longest_rows,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.estimated_row import EstimatedRow  # noqa: PLC0415

        d = dict(src_dict)
        per_epoch = d.pop("per_epoch")

        trained = d.pop("trained")

        learned_per_epoch = d.pop("learned_per_epoch")

        held_out = d.pop("held_out")

        longest_rows = []
        _longest_rows = d.pop("longest_rows")
        for longest_rows_item_data in _longest_rows:
            longest_rows_item = EstimatedRow.from_dict(longest_rows_item_data)

            longest_rows.append(longest_rows_item)

        estimated_tokens = cls(
            per_epoch=per_epoch,
            trained=trained,
            learned_per_epoch=learned_per_epoch,
            held_out=held_out,
            longest_rows=longest_rows,
        )

        estimated_tokens.additional_properties = d
        return estimated_tokens

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
