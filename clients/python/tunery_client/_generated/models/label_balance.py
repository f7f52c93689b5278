from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..models.label_balance_kind import LabelBalanceKind, check_label_balance_kind

if TYPE_CHECKING:
    from ..models.label_count import LabelCount


T = TypeVar("T", bound="LabelBalance")


@_attrs_define
class LabelBalance:
    """How often each label occurs, or each answer if nearly all answers are short and repeated.

    Attributes:
        kind (LabelBalanceKind):
        n_distinct (int):
        counts (list[LabelCount]): The 100 most frequent labels, in order of frequency.
    """

    kind: LabelBalanceKind
    n_distinct: int
    counts: list[LabelCount]

    def to_dict(self) -> dict[str, Any]:
        kind: str = self.kind

        n_distinct = self.n_distinct

        counts = []
        for counts_item_data in self.counts:
            counts_item = counts_item_data.to_dict()
            counts.append(counts_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "kind": kind,
                "n_distinct": n_distinct,
                "counts": counts,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.label_count import LabelCount  # noqa: PLC0415

        d = dict(src_dict)
        kind = check_label_balance_kind(d.pop("kind"))

        n_distinct = d.pop("n_distinct")

        counts = []
        _counts = d.pop("counts")
        for counts_item_data in _counts:
            counts_item = LabelCount.from_dict(counts_item_data)

            counts.append(counts_item)

        label_balance = cls(
            kind=kind,
            n_distinct=n_distinct,
            counts=counts,
        )

        return label_balance
