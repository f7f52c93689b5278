from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="JobProgress")


@_attrs_define
class JobProgress:
    """Progress at the latest step.

    Attributes:
        step (int):
        total_steps (int):
        tokens_per_second (float | None): Null while the job waits or is paused, as is `eta_seconds`.
        eta_seconds (float | None):
        memory_bytes (int | None): Peak memory of the GPU so far, or resident memory of the training process, in bytes.
        mfu (float | None): Model FLOPs utilization: useful arithmetic as a fraction of the device's peak.
    """

    step: int
    total_steps: int
    tokens_per_second: float | None
    eta_seconds: float | None
    memory_bytes: int | None
    mfu: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        step = self.step

        total_steps = self.total_steps

        tokens_per_second: float | None
        tokens_per_second = self.tokens_per_second

        eta_seconds: float | None
        eta_seconds = self.eta_seconds

        memory_bytes: int | None
        memory_bytes = self.memory_bytes

        mfu: float | None
        mfu = self.mfu

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "step": step,
                "total_steps": total_steps,
                "tokens_per_second": tokens_per_second,
                "eta_seconds": eta_seconds,
                "memory_bytes": memory_bytes,
                "mfu": mfu,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        step = d.pop("step")

        total_steps = d.pop("total_steps")

        def _parse_tokens_per_second(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        tokens_per_second = _parse_tokens_per_second(d.pop("tokens_per_second"))

        def _parse_eta_seconds(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        eta_seconds = _parse_eta_seconds(d.pop("eta_seconds"))

        def _parse_memory_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        memory_bytes = _parse_memory_bytes(d.pop("memory_bytes"))

        def _parse_mfu(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        mfu = _parse_mfu(d.pop("mfu"))

        job_progress = cls(
            step=step,
            total_steps=total_steps,
            tokens_per_second=tokens_per_second,
            eta_seconds=eta_seconds,
            memory_bytes=memory_bytes,
            mfu=mfu,
        )

        job_progress.additional_properties = d
        return job_progress

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
