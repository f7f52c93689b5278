from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="FineTuningJobCost")


@_attrs_define
class FineTuningJobCost:
    """Time and memory that a job used, from the start of its attempt to the published model.

    Attributes:
        device (str): `cpu`, or the GPU's name.
        seconds (float): Total seconds: the sum of the phases.
        starting_seconds (float): Starting the processes, reading the data and loading the model.
        training_seconds (float): Seconds of training, including validation and checkpoints.
        evaluation_seconds (float):
        publishing_seconds (float):
        memory_bytes (int): Peak memory of the GPU, or resident memory of the training process, in bytes.
    """

    device: str
    seconds: float
    starting_seconds: float
    training_seconds: float
    evaluation_seconds: float
    publishing_seconds: float
    memory_bytes: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        device = self.device

        seconds = self.seconds

        starting_seconds = self.starting_seconds

        training_seconds = self.training_seconds

        evaluation_seconds = self.evaluation_seconds

        publishing_seconds = self.publishing_seconds

        memory_bytes = self.memory_bytes

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "device": device,
                "seconds": seconds,
                "starting_seconds": starting_seconds,
                "training_seconds": training_seconds,
                "evaluation_seconds": evaluation_seconds,
                "publishing_seconds": publishing_seconds,
                "memory_bytes": memory_bytes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        device = d.pop("device")

        seconds = d.pop("seconds")

        starting_seconds = d.pop("starting_seconds")

        training_seconds = d.pop("training_seconds")

        evaluation_seconds = d.pop("evaluation_seconds")

        publishing_seconds = d.pop("publishing_seconds")

        memory_bytes = d.pop("memory_bytes")

        fine_tuning_job_cost = cls(
            device=device,
            seconds=seconds,
            starting_seconds=starting_seconds,
            training_seconds=training_seconds,
            evaluation_seconds=evaluation_seconds,
            publishing_seconds=publishing_seconds,
            memory_bytes=memory_bytes,
        )

        fine_tuning_job_cost.additional_properties = d
        return fine_tuning_job_cost

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
