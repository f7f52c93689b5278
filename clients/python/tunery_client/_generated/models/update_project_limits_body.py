from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.update_project_limits_body_max_priority_type_0 import (
    UpdateProjectLimitsBodyMaxPriorityType0,
    check_update_project_limits_body_max_priority_type_0,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="UpdateProjectLimitsBody")


@_attrs_define
class UpdateProjectLimitsBody:
    """
    Attributes:
        max_requests_per_1_minute (int | None | Unset): Requests per minute: for a project, to each base model that has
            no limit of its own; for a key, to all
            models together.
        max_tokens_per_1_minute (int | None | Unset):
        max_concurrent_jobs (int | None | Unset): Fine-tuning jobs that may be under way at once. Paused ones do not
            count.
        max_jobs_per_1_day (int | None | Unset): Fine-tuning jobs that may be created within 24 hours.
        max_device_hours_per_1_month (int | None | Unset): Hours of training in a calendar month (UTC), times the
            training processes.
        max_stored_bytes (int | None | Unset): Bytes of all files together.
        max_priority (None | Unset | UpdateProjectLimitsBodyMaxPriorityType0): The highest priority that fine-tuning
            jobs may have; `normal` unless it is set.
        device_share (int | None | Unset): The project's share of the devices, relative to the shares of other projects
            that wait. A project with
            2 gets twice as much as a project with 1, the default.
        soft_max_devices (int | None | Unset): Devices that training may hold at once while other projects wait.
        max_devices (int | None | Unset): Devices that training may hold at once, ever.
    """

    max_requests_per_1_minute: int | None | Unset = UNSET
    max_tokens_per_1_minute: int | None | Unset = UNSET
    max_concurrent_jobs: int | None | Unset = UNSET
    max_jobs_per_1_day: int | None | Unset = UNSET
    max_device_hours_per_1_month: int | None | Unset = UNSET
    max_stored_bytes: int | None | Unset = UNSET
    max_priority: None | Unset | UpdateProjectLimitsBodyMaxPriorityType0 = UNSET
    device_share: int | None | Unset = UNSET
    soft_max_devices: int | None | Unset = UNSET
    max_devices: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        max_requests_per_1_minute: int | None | Unset
        if isinstance(self.max_requests_per_1_minute, Unset):
            max_requests_per_1_minute = UNSET
        else:
            max_requests_per_1_minute = self.max_requests_per_1_minute

        max_tokens_per_1_minute: int | None | Unset
        if isinstance(self.max_tokens_per_1_minute, Unset):
            max_tokens_per_1_minute = UNSET
        else:
            max_tokens_per_1_minute = self.max_tokens_per_1_minute

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

        max_priority: None | str | Unset
        if isinstance(self.max_priority, Unset):
            max_priority = UNSET
        elif isinstance(self.max_priority, str):
            max_priority = self.max_priority
        else:
            max_priority = self.max_priority

        device_share: int | None | Unset
        if isinstance(self.device_share, Unset):
            device_share = UNSET
        else:
            device_share = self.device_share

        soft_max_devices: int | None | Unset
        if isinstance(self.soft_max_devices, Unset):
            soft_max_devices = UNSET
        else:
            soft_max_devices = self.soft_max_devices

        max_devices: int | None | Unset
        if isinstance(self.max_devices, Unset):
            max_devices = UNSET
        else:
            max_devices = self.max_devices

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if max_requests_per_1_minute is not UNSET:
            field_dict["max_requests_per_1_minute"] = max_requests_per_1_minute
        if max_tokens_per_1_minute is not UNSET:
            field_dict["max_tokens_per_1_minute"] = max_tokens_per_1_minute
        if max_concurrent_jobs is not UNSET:
            field_dict["max_concurrent_jobs"] = max_concurrent_jobs
        if max_jobs_per_1_day is not UNSET:
            field_dict["max_jobs_per_1_day"] = max_jobs_per_1_day
        if max_device_hours_per_1_month is not UNSET:
            field_dict["max_device_hours_per_1_month"] = max_device_hours_per_1_month
        if max_stored_bytes is not UNSET:
            field_dict["max_stored_bytes"] = max_stored_bytes
        if max_priority is not UNSET:
            field_dict["max_priority"] = max_priority
        if device_share is not UNSET:
            field_dict["device_share"] = device_share
        if soft_max_devices is not UNSET:
            field_dict["soft_max_devices"] = soft_max_devices
        if max_devices is not UNSET:
            field_dict["max_devices"] = max_devices

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_max_requests_per_1_minute(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_requests_per_1_minute = _parse_max_requests_per_1_minute(
            d.pop("max_requests_per_1_minute", UNSET)
        )

        def _parse_max_tokens_per_1_minute(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_tokens_per_1_minute = _parse_max_tokens_per_1_minute(d.pop("max_tokens_per_1_minute", UNSET))

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

        def _parse_max_priority(data: object) -> None | Unset | UpdateProjectLimitsBodyMaxPriorityType0:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                max_priority_type_0 = check_update_project_limits_body_max_priority_type_0(data)

                return max_priority_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UpdateProjectLimitsBodyMaxPriorityType0, data)

        max_priority = _parse_max_priority(d.pop("max_priority", UNSET))

        def _parse_device_share(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        device_share = _parse_device_share(d.pop("device_share", UNSET))

        def _parse_soft_max_devices(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        soft_max_devices = _parse_soft_max_devices(d.pop("soft_max_devices", UNSET))

        def _parse_max_devices(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_devices = _parse_max_devices(d.pop("max_devices", UNSET))

        update_project_limits_body = cls(
            max_requests_per_1_minute=max_requests_per_1_minute,
            max_tokens_per_1_minute=max_tokens_per_1_minute,
            max_concurrent_jobs=max_concurrent_jobs,
            max_jobs_per_1_day=max_jobs_per_1_day,
            max_device_hours_per_1_month=max_device_hours_per_1_month,
            max_stored_bytes=max_stored_bytes,
            max_priority=max_priority,
            device_share=device_share,
            soft_max_devices=soft_max_devices,
            max_devices=max_devices,
        )

        return update_project_limits_body
