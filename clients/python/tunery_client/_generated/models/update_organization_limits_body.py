from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="UpdateOrganizationLimitsBody")


@_attrs_define
class UpdateOrganizationLimitsBody:
    """Limits that are left out stay as they are.

    Attributes:
        max_projects (int | None | Unset): Projects that are not archived. Each has a share of the devices of its own.
        max_concurrent_jobs (int | None | Unset): Fine-tuning jobs of all its projects that may be under way at once.
            Paused ones do not count.
        max_jobs_per_1_day (int | None | Unset): Fine-tuning jobs that may be created within 24 hours.
        max_device_hours_per_1_month (int | None | Unset): Hours of training in a calendar month (UTC), times the
            training processes.
        max_stored_bytes (int | None | Unset): Bytes of the files and exports of all its projects.
    """

    max_projects: int | None | Unset = UNSET
    max_concurrent_jobs: int | None | Unset = UNSET
    max_jobs_per_1_day: int | None | Unset = UNSET
    max_device_hours_per_1_month: int | None | Unset = UNSET
    max_stored_bytes: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        max_projects: int | None | Unset
        if isinstance(self.max_projects, Unset):
            max_projects = UNSET
        else:
            max_projects = self.max_projects

        max_concurrent_jobs: int | None | Unset
        if isinstance(self.max_concurrent_jobs, Unset):
            max_concurrent_jobs = UNSET
        else:
            max_concurrent_jobs = self.max_concurrent_jobs

        max_jobs_per_1_day: int | None | Unset
        if isinstance(self.max_jobs_per_1_day, Unset):
            max_jobs_per_1_day = UNSET
        else:
            max_jobs_per_1_day = self.max_jobs_per_1_day

        max_device_hours_per_1_month: int | None | Unset
        if isinstance(self.max_device_hours_per_1_month, Unset):
            max_device_hours_per_1_month = UNSET
        else:
            max_device_hours_per_1_month = self.max_device_hours_per_1_month

        max_stored_bytes: int | None | Unset
        if isinstance(self.max_stored_bytes, Unset):
            max_stored_bytes = UNSET
        else:
            max_stored_bytes = self.max_stored_bytes

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if max_projects is not UNSET:
            field_dict["max_projects"] = max_projects
        if max_concurrent_jobs is not UNSET:
            field_dict["max_concurrent_jobs"] = max_concurrent_jobs
        if max_jobs_per_1_day is not UNSET:
            field_dict["max_jobs_per_1_day"] = max_jobs_per_1_day
        if max_device_hours_per_1_month is not UNSET:
            field_dict["max_device_hours_per_1_month"] = max_device_hours_per_1_month
        if max_stored_bytes is not UNSET:
            field_dict["max_stored_bytes"] = max_stored_bytes

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_max_projects(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_projects = _parse_max_projects(d.pop("max_projects", UNSET))

        def _parse_max_concurrent_jobs(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_concurrent_jobs = _parse_max_concurrent_jobs(d.pop("max_concurrent_jobs", UNSET))

        def _parse_max_jobs_per_1_day(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_jobs_per_1_day = _parse_max_jobs_per_1_day(d.pop("max_jobs_per_1_day", UNSET))

        def _parse_max_device_hours_per_1_month(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_device_hours_per_1_month = _parse_max_device_hours_per_1_month(
            d.pop("max_device_hours_per_1_month", UNSET)
        )

        def _parse_max_stored_bytes(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_stored_bytes = _parse_max_stored_bytes(d.pop("max_stored_bytes", UNSET))

        update_organization_limits_body = cls(
            max_projects=max_projects,
            max_concurrent_jobs=max_concurrent_jobs,
            max_jobs_per_1_day=max_jobs_per_1_day,
            max_device_hours_per_1_month=max_device_hours_per_1_month,
            max_stored_bytes=max_stored_bytes,
        )

        return update_organization_limits_body
