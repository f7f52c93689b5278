from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..models.finding_severity import FindingSeverity, check_finding_severity

if TYPE_CHECKING:
    from ..models.finding_place import FindingPlace


T = TypeVar("T", bound="Finding")


@_attrs_define
class Finding:
    """All occurrences of one kind of problem.

    Attributes:
        code (str):
        severity (FindingSeverity):
        title (str):
        remedy (str):
        count (int):
        places (list[FindingPlace]): The first 50 occurrences, by line.
    """

    code: str
    severity: FindingSeverity
    title: str
    remedy: str
    count: int
    places: list[FindingPlace]

    def to_dict(self) -> dict[str, Any]:
        code = self.code

        severity: str = self.severity

        title = self.title

        remedy = self.remedy

        count = self.count

        places = []
        for places_item_data in self.places:
            places_item = places_item_data.to_dict()
            places.append(places_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "code": code,
                "severity": severity,
                "title": title,
                "remedy": remedy,
                "count": count,
                "places": places,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.finding_place import FindingPlace  # noqa: PLC0415

        d = dict(src_dict)
        code = d.pop("code")

        severity = check_finding_severity(d.pop("severity"))

        title = d.pop("title")

        remedy = d.pop("remedy")

        count = d.pop("count")

        places = []
        _places = d.pop("places")
        for places_item_data in _places:
            places_item = FindingPlace.from_dict(places_item_data)

            places.append(places_item)

        finding = cls(
            code=code,
            severity=severity,
            title=title,
            remedy=remedy,
            count=count,
            places=places,
        )

        return finding
