from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="PublicMaintenance")


@_attrs_define
class PublicMaintenance:
    """
    Attributes:
        object_ (Literal['maintenance']):  Default: 'maintenance'.
        is_on (bool):
        since (int | None): Null if there is none.
        pauses_jobs (bool):
    """

    is_on: bool
    since: int | None
    pauses_jobs: bool
    object_: Literal["maintenance"] = "maintenance"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        is_on = self.is_on

        since: int | None
        since = self.since

        pauses_jobs = self.pauses_jobs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "is_on": is_on,
                "since": since,
                "pauses_jobs": pauses_jobs,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        object_ = cast(Literal["maintenance"], d.pop("object"))
        if object_ != "maintenance":
            raise ValueError(f"object must match const 'maintenance', got '{object_}'")

        is_on = d.pop("is_on")

        def _parse_since(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        since = _parse_since(d.pop("since"))

        pauses_jobs = d.pop("pauses_jobs")

        public_maintenance = cls(
            object_=object_,
            is_on=is_on,
            since=since,
            pauses_jobs=pauses_jobs,
        )

        public_maintenance.additional_properties = d
        return public_maintenance

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
