from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.seconds_range import SecondsRange


T = TypeVar("T", bound="EstimatedTime")


@_attrs_define
class EstimatedTime:
    """Time estimate, based on earlier runs on this server with the same base, method, training type and
    number of workers.

        Attributes:
            total (SecondsRange):
            starting (SecondsRange):
            training (SecondsRange):
            evaluation (SecondsRange):
            publishing (SecondsRange):
            device (str): Device of the runs that this estimate is based on: `cpu`, or the GPU's name.
            based_on (int): The number of runs.
    """

    total: SecondsRange
    starting: SecondsRange
    training: SecondsRange
    evaluation: SecondsRange
    publishing: SecondsRange
    device: str
    based_on: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        total = self.total.to_dict()

        starting = self.starting.to_dict()

        training = self.training.to_dict()

        evaluation = self.evaluation.to_dict()

        publishing = self.publishing.to_dict()

        device = self.device

        based_on = self.based_on

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "total": total,
                "starting": starting,
                "training": training,
                "evaluation": evaluation,
                "publishing": publishing,
                "device": device,
                "based_on": based_on,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.seconds_range import SecondsRange  # noqa: PLC0415

        d = dict(src_dict)
        total = SecondsRange.from_dict(d.pop("total"))

        starting = SecondsRange.from_dict(d.pop("starting"))

        training = SecondsRange.from_dict(d.pop("training"))

        evaluation = SecondsRange.from_dict(d.pop("evaluation"))

        publishing = SecondsRange.from_dict(d.pop("publishing"))

        device = d.pop("device")

        based_on = d.pop("based_on")

        estimated_time = cls(
            total=total,
            starting=starting,
            training=training,
            evaluation=evaluation,
            publishing=publishing,
            device=device,
            based_on=based_on,
        )

        estimated_time.additional_properties = d
        return estimated_time

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
