from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.queue_reason import QueueReason, check_queue_reason

T = TypeVar("T", bound="JobQueue")


@_attrs_define
class JobQueue:
    """A job's place in the queue.

    Attributes:
        position (int): Estimated position among the queued jobs of all projects, counted from 1. The order depends on
            priorities, on the projects' past device usage, and on how long jobs have waited.
        reason (QueueReason):
        message (str): The reason as a sentence.
        estimated_start (int | None):
        estimated_finish (int | None): Estimated finish if no more jobs are created. Null if it cannot be estimated.
        retry_at (int | None): Earliest time of the next start after a fault, which the job's events report. Null if
            there was no
            fault.
    """

    position: int
    reason: QueueReason
    message: str
    estimated_start: int | None
    estimated_finish: int | None
    retry_at: int | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        position = self.position

        reason: str = self.reason

        message = self.message

        estimated_start: int | None
        estimated_start = self.estimated_start

        estimated_finish: int | None
        estimated_finish = self.estimated_finish

        retry_at: int | None
        retry_at = self.retry_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "position": position,
                "reason": reason,
                "message": message,
                "estimated_start": estimated_start,
                "estimated_finish": estimated_finish,
                "retry_at": retry_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        position = d.pop("position")

        reason = check_queue_reason(d.pop("reason"))

        message = d.pop("message")

        def _parse_estimated_start(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        estimated_start = _parse_estimated_start(d.pop("estimated_start"))

        def _parse_estimated_finish(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        estimated_finish = _parse_estimated_finish(d.pop("estimated_finish"))

        def _parse_retry_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        retry_at = _parse_retry_at(d.pop("retry_at"))

        job_queue = cls(
            position=position,
            reason=reason,
            message=message,
            estimated_start=estimated_start,
            estimated_finish=estimated_finish,
            retry_at=retry_at,
        )

        job_queue.additional_properties = d
        return job_queue

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
