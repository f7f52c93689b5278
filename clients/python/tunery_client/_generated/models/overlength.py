from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.overlength_outcome import OverlengthOutcome


T = TypeVar("T", bound="Overlength")


@_attrs_define
class Overlength:
    """
    Attributes:
        limit (int): The base's context, in tokens.
        count (int):
        lines (list[int]): The first 50 lines.
        outcomes (list[OverlengthOutcome]):
    """

    limit: int
    count: int
    lines: list[int]
    outcomes: list[OverlengthOutcome]

    def to_dict(self) -> dict[str, Any]:
        limit = self.limit

        count = self.count

        lines = self.lines

        outcomes = []
        for outcomes_item_data in self.outcomes:
            outcomes_item = outcomes_item_data.to_dict()
            outcomes.append(outcomes_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "limit": limit,
                "count": count,
                "lines": lines,
                "outcomes": outcomes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.overlength_outcome import OverlengthOutcome  # noqa: PLC0415

        d = dict(src_dict)
        limit = d.pop("limit")

        count = d.pop("count")

        lines = cast(list[int], d.pop("lines"))

        outcomes = []
        _outcomes = d.pop("outcomes")
        for outcomes_item_data in _outcomes:
            outcomes_item = OverlengthOutcome.from_dict(outcomes_item_data)

            outcomes.append(outcomes_item)

        overlength = cls(
            limit=limit,
            count=count,
            lines=lines,
            outcomes=outcomes,
        )

        return overlength
