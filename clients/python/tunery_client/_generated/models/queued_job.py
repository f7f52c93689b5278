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

from ..models.queued_job_priority import QueuedJobPriority, check_queued_job_priority

if TYPE_CHECKING:
    from ..models.job_plan import JobPlan
    from ..models.job_queue import JobQueue


T = TypeVar("T", bound="QueuedJob")


@_attrs_define
class QueuedJob:
    """
    Attributes:
        id (str):
        object_ (Literal['organization.queued_job']):  Default: 'organization.queued_job'.
        project_id (str):
        model (str):
        priority (QueuedJobPriority):
        num_workers (int): Devices that it needs at once.
        max_workers (int): Devices that it takes if they are free: more than it needs if it is elastic.
        plan (JobPlan | None): How it would run in the cheapest of its pools. Null for a job of an earlier release.
        queued_at (int):
        start_by (int | None):
        queue (JobQueue): Where a queued job stands.
    """

    id: str
    project_id: str
    model: str
    priority: QueuedJobPriority
    num_workers: int
    max_workers: int
    plan: JobPlan | None
    queued_at: int
    start_by: int | None
    queue: JobQueue
    object_: Literal["organization.queued_job"] = "organization.queued_job"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.job_plan import JobPlan  # noqa: PLC0415

        id = self.id

        object_ = self.object_

        project_id = self.project_id

        model = self.model

        priority: str = self.priority

        num_workers = self.num_workers

        max_workers = self.max_workers

        plan: dict[str, Any] | None
        if isinstance(self.plan, JobPlan):
            plan = self.plan.to_dict()
        else:
            plan = self.plan

        queued_at = self.queued_at

        start_by: int | None
        start_by = self.start_by

        queue = self.queue.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "project_id": project_id,
                "model": model,
                "priority": priority,
                "num_workers": num_workers,
                "max_workers": max_workers,
                "plan": plan,
                "queued_at": queued_at,
                "start_by": start_by,
                "queue": queue,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.job_plan import JobPlan  # noqa: PLC0415
        from ..models.job_queue import JobQueue  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["organization.queued_job"], d.pop("object"))
        if object_ != "organization.queued_job":
            raise ValueError(f"object must match const 'organization.queued_job', got '{object_}'")

        project_id = d.pop("project_id")

        model = d.pop("model")

        priority = check_queued_job_priority(d.pop("priority"))

        num_workers = d.pop("num_workers")

        max_workers = d.pop("max_workers")

        def _parse_plan(data: object) -> JobPlan | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                plan_type_0 = JobPlan.from_dict(data)

                return plan_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobPlan | None, data)

        plan = _parse_plan(d.pop("plan"))

        queued_at = d.pop("queued_at")

        def _parse_start_by(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        start_by = _parse_start_by(d.pop("start_by"))

        queue = JobQueue.from_dict(d.pop("queue"))

        queued_job = cls(
            id=id,
            object_=object_,
            project_id=project_id,
            model=model,
            priority=priority,
            num_workers=num_workers,
            max_workers=max_workers,
            plan=plan,
            queued_at=queued_at,
            start_by=start_by,
            queue=queue,
        )

        queued_job.additional_properties = d
        return queued_job

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
