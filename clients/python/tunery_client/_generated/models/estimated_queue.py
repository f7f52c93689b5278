from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="EstimatedQueue")


@_attrs_define
class EstimatedQueue:
    """Estimated wait until the job starts, computed with the scheduler's own policy from the jobs that exist
    now.

        Attributes:
            jobs_ahead (int): Jobs that hold devices, and jobs that are expected to start earlier.
            seconds (float | None): Seconds until the job starts. Null if it cannot be estimated; `unknown` says why.
    """

    jobs_ahead: int
    seconds: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        jobs_ahead = self.jobs_ahead

        seconds: float | None
        seconds = self.seconds

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "jobs_ahead": jobs_ahead,
                "seconds": seconds,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        jobs_ahead = d.pop("jobs_ahead")

        def _parse_seconds(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        seconds = _parse_seconds(d.pop("seconds"))

        estimated_queue = cls(
            jobs_ahead=jobs_ahead,
            seconds=seconds,
        )

        estimated_queue.additional_properties = d
        return estimated_queue

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
