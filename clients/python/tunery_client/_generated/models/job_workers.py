from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.workers_plan import WorkersPlan


T = TypeVar("T", bound="JobWorkers")


@_attrs_define
class JobWorkers:
    """The workers of an elastic job.

    Attributes:
        current (int | None): Current number of workers. Null while the job holds no devices.
        min_ (int):
        max_ (int): The least and the greatest number of workers that fit and divide the batch.
        plans (list[WorkersPlan]): A plan for each number of workers in each pool.
    """

    current: int | None
    min_: int
    max_: int
    plans: list[WorkersPlan]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        current: int | None
        current = self.current

        min_ = self.min_

        max_ = self.max_

        plans = []
        for plans_item_data in self.plans:
            plans_item = plans_item_data.to_dict()
            plans.append(plans_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "current": current,
                "min": min_,
                "max": max_,
                "plans": plans,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.workers_plan import WorkersPlan  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_current(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        current = _parse_current(d.pop("current"))

        min_ = d.pop("min")

        max_ = d.pop("max")

        plans = []
        _plans = d.pop("plans")
        for plans_item_data in _plans:
            plans_item = WorkersPlan.from_dict(plans_item_data)

            plans.append(plans_item)

        job_workers = cls(
            current=current,
            min_=min_,
            max_=max_,
            plans=plans,
        )

        job_workers.additional_properties = d
        return job_workers

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
