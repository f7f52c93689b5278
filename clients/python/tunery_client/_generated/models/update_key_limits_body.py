from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="UpdateKeyLimitsBody")


@_attrs_define
class UpdateKeyLimitsBody:
    """Limits that are left out stay as they are.

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
    """

    max_requests_per_1_minute: int | None | Unset = UNSET
    max_tokens_per_1_minute: int | None | Unset = UNSET
    max_concurrent_jobs: int | None | Unset = UNSET
    max_jobs_per_1_day: int | None | Unset = UNSET
    max_device_hours_per_1_month: int | None | Unset = UNSET

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

        update_key_limits_body = cls(
            max_requests_per_1_minute=max_requests_per_1_minute,
            max_tokens_per_1_minute=max_tokens_per_1_minute,
            max_concurrent_jobs=max_concurrent_jobs,
            max_jobs_per_1_day=max_jobs_per_1_day,
            max_device_hours_per_1_month=max_device_hours_per_1_month,
        )

        return update_key_limits_body
