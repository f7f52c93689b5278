from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="UsedByOrganization")


@_attrs_define
class UsedByOrganization:
    """
    Attributes:
        concurrent_jobs (int):
        jobs_in_1_day (int):
        device_hours_in_1_month (float):
        stored_bytes (int):
        projects (int):
    """

    concurrent_jobs: int
    jobs_in_1_day: int
    device_hours_in_1_month: float
    stored_bytes: int
    projects: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        concurrent_jobs = self.concurrent_jobs

        jobs_in_1_day = self.jobs_in_1_day

        device_hours_in_1_month = self.device_hours_in_1_month

        stored_bytes = self.stored_bytes

        projects = self.projects

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "concurrent_jobs": concurrent_jobs,
                "jobs_in_1_day": jobs_in_1_day,
                "device_hours_in_1_month": device_hours_in_1_month,
                "stored_bytes": stored_bytes,
                "projects": projects,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        concurrent_jobs = d.pop("concurrent_jobs")

        jobs_in_1_day = d.pop("jobs_in_1_day")

        device_hours_in_1_month = d.pop("device_hours_in_1_month")

        stored_bytes = d.pop("stored_bytes")

        projects = d.pop("projects")

        used_by_organization = cls(
            concurrent_jobs=concurrent_jobs,
            jobs_in_1_day=jobs_in_1_day,
            device_hours_in_1_month=device_hours_in_1_month,
            stored_bytes=stored_bytes,
            projects=projects,
        )

        used_by_organization.additional_properties = d
        return used_by_organization

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
