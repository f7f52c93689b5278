from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="MaintenanceBody")


@_attrs_define
class MaintenanceBody:
    """
    Attributes:
        pauses_jobs (bool | Unset): Whether running jobs save a checkpoint and wait, instead of finishing. They go on
            after the
            maintenance. Default: False.
    """

    pauses_jobs: bool | Unset = False

    def to_dict(self) -> dict[str, Any]:
        pauses_jobs = self.pauses_jobs

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if pauses_jobs is not UNSET:
            field_dict["pauses_jobs"] = pauses_jobs

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        pauses_jobs = d.pop("pauses_jobs", UNSET)

        maintenance_body = cls(
            pauses_jobs=pauses_jobs,
        )

        return maintenance_body
