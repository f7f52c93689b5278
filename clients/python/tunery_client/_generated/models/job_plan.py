from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.job_plan_activation_checkpointing import (
    JobPlanActivationCheckpointing,
    check_job_plan_activation_checkpointing,
)
from ..models.job_plan_device_type_0 import (
    JobPlanDeviceType0,
    check_job_plan_device_type_0,
)
from ..models.job_plan_parallelism import JobPlanParallelism, check_job_plan_parallelism
from ..models.job_plan_served_as_type_0 import (
    JobPlanServedAsType0,
    check_job_plan_served_as_type_0,
)

if TYPE_CHECKING:
    from ..models.planned_memory import PlannedMemory


T = TypeVar("T", bound="JobPlan")


@_attrs_define
class JobPlan:
    """How the job runs: the resolved values of every `auto` in `training` that concerns devices.

    Attributes:
        num_workers (int): Number of training processes, each with its own device.
        parallelism (JobPlanParallelism):
        activation_checkpointing (JobPlanActivationCheckpointing): `auto` only if the base's shape or the devices are
            unknown, in which case the workers decide.
        microbatch_tokens (int): Tokens of one forward pass.
        max_seq_length (int):
        pool (None | str): The pool of devices that the job was planned for. Null, like all fields below, if the base's
            shape or
            the devices are unknown.
        device (JobPlanDeviceType0 | None):
        served_as (JobPlanServedAsType0 | None): The form in which the tuned model is served: an adapter on its base, or
            a separate model.
        device_memory (None | PlannedMemory):
        host_memory_bytes (int | None): Host memory in bytes on each node, for all of its workers.
        resume_state_bytes (int | None): Size in storage of a checkpoint from which the run can be resumed, in bytes.
        served_bytes (int | None): Size of the tuned model's weights in storage, in bytes.
    """

    num_workers: int
    parallelism: JobPlanParallelism
    activation_checkpointing: JobPlanActivationCheckpointing
    microbatch_tokens: int
    max_seq_length: int
    pool: None | str
    device: JobPlanDeviceType0 | None
    served_as: JobPlanServedAsType0 | None
    device_memory: None | PlannedMemory
    host_memory_bytes: int | None
    resume_state_bytes: int | None
    served_bytes: int | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.planned_memory import PlannedMemory  # noqa: PLC0415

        num_workers = self.num_workers

        parallelism: str = self.parallelism

        activation_checkpointing: str = self.activation_checkpointing

        microbatch_tokens = self.microbatch_tokens

        max_seq_length = self.max_seq_length

        pool: None | str
        pool = self.pool

        device: None | str
        if isinstance(self.device, str):
            device = self.device
        else:
            device = self.device

        served_as: None | str
        if isinstance(self.served_as, str):
            served_as = self.served_as
        else:
            served_as = self.served_as

        device_memory: dict[str, Any] | None
        if isinstance(self.device_memory, PlannedMemory):
            device_memory = self.device_memory.to_dict()
        else:
            device_memory = self.device_memory

        host_memory_bytes: int | None
        host_memory_bytes = self.host_memory_bytes

        resume_state_bytes: int | None
        resume_state_bytes = self.resume_state_bytes

        served_bytes: int | None
        served_bytes = self.served_bytes

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "num_workers": num_workers,
                "parallelism": parallelism,
                "activation_checkpointing": activation_checkpointing,
                "microbatch_tokens": microbatch_tokens,
                "max_seq_length": max_seq_length,
                "pool": pool,
                "device": device,
                "served_as": served_as,
                "device_memory": device_memory,
                "host_memory_bytes": host_memory_bytes,
                "resume_state_bytes": resume_state_bytes,
                "served_bytes": served_bytes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.planned_memory import PlannedMemory  # noqa: PLC0415

        d = dict(src_dict)
        num_workers = d.pop("num_workers")

        parallelism = check_job_plan_parallelism(d.pop("parallelism"))

        activation_checkpointing = check_job_plan_activation_checkpointing(d.pop("activation_checkpointing"))

        microbatch_tokens = d.pop("microbatch_tokens")

        max_seq_length = d.pop("max_seq_length")

        def _parse_pool(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        pool = _parse_pool(d.pop("pool"))

        def _parse_device(data: object) -> JobPlanDeviceType0 | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                device_type_0 = check_job_plan_device_type_0(data)

                return device_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobPlanDeviceType0 | None, data)

        device = _parse_device(d.pop("device"))

        def _parse_served_as(data: object) -> JobPlanServedAsType0 | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                served_as_type_0 = check_job_plan_served_as_type_0(data)

                return served_as_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobPlanServedAsType0 | None, data)

        served_as = _parse_served_as(d.pop("served_as"))

        def _parse_device_memory(data: object) -> None | PlannedMemory:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                device_memory_type_0 = PlannedMemory.from_dict(data)

                return device_memory_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PlannedMemory, data)

        device_memory = _parse_device_memory(d.pop("device_memory"))

        def _parse_host_memory_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        host_memory_bytes = _parse_host_memory_bytes(d.pop("host_memory_bytes"))

        def _parse_resume_state_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        resume_state_bytes = _parse_resume_state_bytes(d.pop("resume_state_bytes"))

        def _parse_served_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        served_bytes = _parse_served_bytes(d.pop("served_bytes"))

        job_plan = cls(
            num_workers=num_workers,
            parallelism=parallelism,
            activation_checkpointing=activation_checkpointing,
            microbatch_tokens=microbatch_tokens,
            max_seq_length=max_seq_length,
            pool=pool,
            device=device,
            served_as=served_as,
            device_memory=device_memory,
            host_memory_bytes=host_memory_bytes,
            resume_state_bytes=resume_state_bytes,
            served_bytes=served_bytes,
        )

        job_plan.additional_properties = d
        return job_plan

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
