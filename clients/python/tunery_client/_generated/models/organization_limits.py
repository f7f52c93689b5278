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

if TYPE_CHECKING:
    from ..models.used_by_organization import UsedByOrganization


T = TypeVar("T", bound="OrganizationLimits")


@_attrs_define
class OrganizationLimits:
    """
    Attributes:
        object_ (Literal['organization.limits']):  Default: 'organization.limits'.
        id (str): The organization's.
        max_projects (int):
        max_concurrent_jobs (int):
        max_jobs_per_1_day (int):
        max_device_hours_per_1_month (int):
        max_stored_bytes (int):
        used (UsedByOrganization):
    """

    id: str
    max_projects: int
    max_concurrent_jobs: int
    max_jobs_per_1_day: int
    max_device_hours_per_1_month: int
    max_stored_bytes: int
    used: UsedByOrganization
    object_: Literal["organization.limits"] = "organization.limits"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        id = self.id

        max_projects = self.max_projects

        max_concurrent_jobs = self.max_concurrent_jobs

        max_jobs_per_1_day = self.max_jobs_per_1_day

        max_device_hours_per_1_month = self.max_device_hours_per_1_month

        max_stored_bytes = self.max_stored_bytes

        used = self.used.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "id": id,
                "max_projects": max_projects,
                "max_concurrent_jobs": max_concurrent_jobs,
                "max_jobs_per_1_day": max_jobs_per_1_day,
                "max_device_hours_per_1_month": max_device_hours_per_1_month,
                "max_stored_bytes": max_stored_bytes,
                "used": used,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.used_by_organization import UsedByOrganization  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["organization.limits"], d.pop("object"))
        if object_ != "organization.limits":
            raise ValueError(f"object must match const 'organization.limits', got '{object_}'")

        id = d.pop("id")

        max_projects = d.pop("max_projects")

        max_concurrent_jobs = d.pop("max_concurrent_jobs")

        max_jobs_per_1_day = d.pop("max_jobs_per_1_day")

        max_device_hours_per_1_month = d.pop("max_device_hours_per_1_month")

        max_stored_bytes = d.pop("max_stored_bytes")

        used = UsedByOrganization.from_dict(d.pop("used"))

        organization_limits = cls(
            object_=object_,
            id=id,
            max_projects=max_projects,
            max_concurrent_jobs=max_concurrent_jobs,
            max_jobs_per_1_day=max_jobs_per_1_day,
            max_device_hours_per_1_month=max_device_hours_per_1_month,
            max_stored_bytes=max_stored_bytes,
            used=used,
        )

        organization_limits.additional_properties = d
        return organization_limits

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
