from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.project_limits_max_priority import (
    ProjectLimitsMaxPriority,
    check_project_limits_max_priority,
)

if TYPE_CHECKING:
    from ..models.used_by_project import UsedByProject


T = TypeVar("T", bound="ProjectLimits")


@_attrs_define
class ProjectLimits:
    """
    Attributes:
        object_ (Literal['project.limits']):  Default: 'project.limits'.
        id (str): The project's.
        max_requests_per_1_minute (int):
        max_tokens_per_1_minute (int):
        max_concurrent_jobs (int):
        max_jobs_per_1_day (int):
        max_device_hours_per_1_month (int):
        max_stored_bytes (int):
        max_priority (ProjectLimitsMaxPriority):
        device_share (int):
        soft_max_devices (int):
        max_devices (int):
        used (UsedByProject):
    """

    id: str
    max_requests_per_1_minute: int
    max_tokens_per_1_minute: int
    max_concurrent_jobs: int
    max_jobs_per_1_day: int
    max_device_hours_per_1_month: int
    max_stored_bytes: int
    max_priority: ProjectLimitsMaxPriority
    device_share: int
    soft_max_devices: int
    max_devices: int
    used: UsedByProject
    object_: Literal["project.limits"] = "project.limits"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        id = self.id

        max_requests_per_1_minute = self.max_requests_per_1_minute

        max_tokens_per_1_minute = self.max_tokens_per_1_minute

        max_concurrent_jobs = self.max_concurrent_jobs

        max_jobs_per_1_day = self.max_jobs_per_1_day

        max_device_hours_per_1_month = self.max_device_hours_per_1_month

        max_stored_bytes = self.max_stored_bytes

        max_priority: str = self.max_priority

        device_share = self.device_share

        soft_max_devices = self.soft_max_devices

        max_devices = self.max_devices

        used = self.used.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "id": id,
                "max_requests_per_1_minute": max_requests_per_1_minute,
                "max_tokens_per_1_minute": max_tokens_per_1_minute,
                "max_concurrent_jobs": max_concurrent_jobs,
                "max_jobs_per_1_day": max_jobs_per_1_day,
                "max_device_hours_per_1_month": max_device_hours_per_1_month,
                "max_stored_bytes": max_stored_bytes,
                "max_priority": max_priority,
                "device_share": device_share,
                "soft_max_devices": soft_max_devices,
                "max_devices": max_devices,
                "used": used,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.used_by_project import UsedByProject  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["project.limits"], d.pop("object"))
        if object_ != "project.limits":
            raise ValueError(f"object must match const 'project.limits', got '{object_}'")

        id = d.pop("id")

        max_requests_per_1_minute = d.pop("max_requests_per_1_minute")

        max_tokens_per_1_minute = d.pop("max_tokens_per_1_minute")

        max_concurrent_jobs = d.pop("max_concurrent_jobs")

        max_jobs_per_1_day = d.pop("max_jobs_per_1_day")

        max_device_hours_per_1_month = d.pop("max_device_hours_per_1_month")

        max_stored_bytes = d.pop("max_stored_bytes")

        max_priority = check_project_limits_max_priority(d.pop("max_priority"))

        device_share = d.pop("device_share")

        soft_max_devices = d.pop("soft_max_devices")

        max_devices = d.pop("max_devices")

        used = UsedByProject.from_dict(d.pop("used"))

        project_limits = cls(
            object_=object_,
            id=id,
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
            used=used,
        )

        project_limits.additional_properties = d
        return project_limits

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
