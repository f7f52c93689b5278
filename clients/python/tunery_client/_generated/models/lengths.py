from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..models.lengths_unit import LengthsUnit, check_lengths_unit

if TYPE_CHECKING:
    from ..models.length_bucket import LengthBucket


T = TypeVar("T", bound="Lengths")


@_attrs_define
class Lengths:
    """Lengths of the examples. A preference pair has the length of its longer answer.

    Attributes:
        unit (LengthsUnit):
        total (int):
        shortest (int):
        longest (int):
        mean (float):
        p50 (int):
        p90 (int):
        p99 (int):
        histogram (list[LengthBucket]): The bounds are powers of two.
    """

    unit: LengthsUnit
    total: int
    shortest: int
    longest: int
    mean: float
    p50: int
    p90: int
    p99: int
    histogram: list[LengthBucket]

    def to_dict(self) -> dict[str, Any]:
        unit: str = self.unit

        total = self.total

        shortest = self.shortest

        longest = self.longest

        mean = self.mean

        p50 = self.p50

        p90 = self.p90

        p99 = self.p99

        histogram = []
        for histogram_item_data in self.histogram:
            histogram_item = histogram_item_data.to_dict()
            histogram.append(histogram_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "unit": unit,
                "total": total,
                "shortest": shortest,
                "longest": longest,
                "mean": mean,
                "p50": p50,
                "p90": p90,
                "p99": p99,
                "histogram": histogram,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.length_bucket import LengthBucket  # noqa: PLC0415

        d = dict(src_dict)
        unit = check_lengths_unit(d.pop("unit"))

        total = d.pop("total")

        shortest = d.pop("shortest")

        longest = d.pop("longest")

        mean = d.pop("mean")

        p50 = d.pop("p50")

        p90 = d.pop("p90")

        p99 = d.pop("p99")

        histogram = []
        _histogram = d.pop("histogram")
        for histogram_item_data in _histogram:
            histogram_item = LengthBucket.from_dict(histogram_item_data)

            histogram.append(histogram_item)

        lengths = cls(
            unit=unit,
            total=total,
            shortest=shortest,
            longest=longest,
            mean=mean,
            p50=p50,
            p90=p90,
            p99=p99,
            histogram=histogram,
        )

        return lengths
