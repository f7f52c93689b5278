from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.job_extension_priority import (
    JobExtensionPriority,
    check_job_extension_priority,
)
from ..models.job_state import JobState, check_job_state

if TYPE_CHECKING:
    from ..models.evaluation import Evaluation
    from ..models.fine_tuning_job_cost import FineTuningJobCost
    from ..models.job_integration import JobIntegration
    from ..models.job_plan import JobPlan
    from ..models.job_progress import JobProgress
    from ..models.job_publishing import JobPublishing
    from ..models.job_queue import JobQueue
    from ..models.job_workers import JobWorkers
    from ..models.model_provenance import ModelProvenance
    from ..models.training_options import TrainingOptions


T = TypeVar("T", bound="JobExtension")


@_attrs_define
class JobExtension:
    """Tunery's additions to OpenAI's job object.

    Attributes:
        state (JobState):
        queue (JobQueue | None): Present while the job waits for its devices.
        priority (JobExtensionPriority):
        start_by (int | None): The job fails if it has not started by this time (Unix seconds).
        progress (JobProgress | None):
        publishing (JobPublishing | None): Present once training is complete and the weights are stored.
        attempt (int): Number of runs that have been started.
        training (TrainingOptions): Tunery's `training` extension of the create request: how the weights are adapted.
        plan (JobPlan | None): Present once the files are validated.
        workers (JobWorkers | None): Workers of an elastic job, once the files are validated.
        evaluation (Evaluation | None): Present once training has ended, even if the job failed after that.
        provenance (ModelProvenance | None): Present once a checkpoint is stored.
        cost (FineTuningJobCost | None): Present once the job has succeeded, unless it took several attempts.
        integrations (list[JobIntegration]): The integrations requested in `integrations` and `tunery.integrations`, and
            the state of each.
    """

    state: JobState
    queue: JobQueue | None
    priority: JobExtensionPriority
    start_by: int | None
    progress: JobProgress | None
    publishing: JobPublishing | None
    attempt: int
    training: TrainingOptions
    plan: JobPlan | None
    workers: JobWorkers | None
    evaluation: Evaluation | None
    provenance: ModelProvenance | None
    cost: FineTuningJobCost | None
    integrations: list[JobIntegration]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.evaluation import Evaluation  # noqa: PLC0415
        from ..models.fine_tuning_job_cost import FineTuningJobCost  # noqa: PLC0415
        from ..models.job_plan import JobPlan  # noqa: PLC0415
        from ..models.job_progress import JobProgress  # noqa: PLC0415
        from ..models.job_publishing import JobPublishing  # noqa: PLC0415
        from ..models.job_queue import JobQueue  # noqa: PLC0415
        from ..models.job_workers import JobWorkers  # noqa: PLC0415
        from ..models.model_provenance import ModelProvenance  # noqa: PLC0415

        state: str = self.state

        queue: dict[str, Any] | None
        if isinstance(self.queue, JobQueue):
            queue = self.queue.to_dict()
        else:
            queue = self.queue

        priority: str = self.priority

        start_by: int | None
        start_by = self.start_by

        progress: dict[str, Any] | None
        if isinstance(self.progress, JobProgress):
            progress = self.progress.to_dict()
        else:
            progress = self.progress

        publishing: dict[str, Any] | None
        if isinstance(self.publishing, JobPublishing):
            publishing = self.publishing.to_dict()
        else:
            publishing = self.publishing

        attempt = self.attempt

        training = self.training.to_dict()

        plan: dict[str, Any] | None
        if isinstance(self.plan, JobPlan):
            plan = self.plan.to_dict()
        else:
            plan = self.plan

        workers: dict[str, Any] | None
        if isinstance(self.workers, JobWorkers):
            workers = self.workers.to_dict()
        else:
            workers = self.workers

        evaluation: dict[str, Any] | None
        if isinstance(self.evaluation, Evaluation):
            evaluation = self.evaluation.to_dict()
        else:
            evaluation = self.evaluation

        provenance: dict[str, Any] | None
        if isinstance(self.provenance, ModelProvenance):
            provenance = self.provenance.to_dict()
        else:
            provenance = self.provenance

        cost: dict[str, Any] | None
        if isinstance(self.cost, FineTuningJobCost):
            cost = self.cost.to_dict()
        else:
            cost = self.cost

        integrations = []
        for integrations_item_data in self.integrations:
            integrations_item = integrations_item_data.to_dict()
            integrations.append(integrations_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "state": state,
                "queue": queue,
                "priority": priority,
                "start_by": start_by,
                "progress": progress,
                "publishing": publishing,
                "attempt": attempt,
                "training": training,
                "plan": plan,
                "workers": workers,
                "evaluation": evaluation,
                "provenance": provenance,
                "cost": cost,
                "integrations": integrations,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluation import Evaluation  # noqa: PLC0415
        from ..models.fine_tuning_job_cost import FineTuningJobCost  # noqa: PLC0415
        from ..models.job_integration import JobIntegration  # noqa: PLC0415
        from ..models.job_plan import JobPlan  # noqa: PLC0415
        from ..models.job_progress import JobProgress  # noqa: PLC0415
        from ..models.job_publishing import JobPublishing  # noqa: PLC0415
        from ..models.job_queue import JobQueue  # noqa: PLC0415
        from ..models.job_workers import JobWorkers  # noqa: PLC0415
        from ..models.model_provenance import ModelProvenance  # noqa: PLC0415
        from ..models.training_options import TrainingOptions  # noqa: PLC0415

        d = dict(src_dict)
        state = check_job_state(d.pop("state"))

        def _parse_queue(data: object) -> JobQueue | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                queue_type_0 = JobQueue.from_dict(data)

                return queue_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobQueue | None, data)

        queue = _parse_queue(d.pop("queue"))

        priority = check_job_extension_priority(d.pop("priority"))

        def _parse_start_by(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        start_by = _parse_start_by(d.pop("start_by"))

        def _parse_progress(data: object) -> JobProgress | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                progress_type_0 = JobProgress.from_dict(data)

                return progress_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobProgress | None, data)

        progress = _parse_progress(d.pop("progress"))

        def _parse_publishing(data: object) -> JobPublishing | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                publishing_type_0 = JobPublishing.from_dict(data)

                return publishing_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobPublishing | None, data)

        publishing = _parse_publishing(d.pop("publishing"))

        attempt = d.pop("attempt")

        training = TrainingOptions.from_dict(d.pop("training"))

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

        def _parse_workers(data: object) -> JobWorkers | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                workers_type_0 = JobWorkers.from_dict(data)

                return workers_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobWorkers | None, data)

        workers = _parse_workers(d.pop("workers"))

        def _parse_evaluation(data: object) -> Evaluation | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                evaluation_type_0 = Evaluation.from_dict(data)

                return evaluation_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Evaluation | None, data)

        evaluation = _parse_evaluation(d.pop("evaluation"))

        def _parse_provenance(data: object) -> ModelProvenance | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                provenance_type_0 = ModelProvenance.from_dict(data)

                return provenance_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ModelProvenance | None, data)

        provenance = _parse_provenance(d.pop("provenance"))

        def _parse_cost(data: object) -> FineTuningJobCost | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                cost_type_0 = FineTuningJobCost.from_dict(data)

                return cost_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(FineTuningJobCost | None, data)

        cost = _parse_cost(d.pop("cost"))

        integrations = []
        _integrations = d.pop("integrations")
        for integrations_item_data in _integrations:
            integrations_item = JobIntegration.from_dict(integrations_item_data)

            integrations.append(integrations_item)

        job_extension = cls(
            state=state,
            queue=queue,
            priority=priority,
            start_by=start_by,
            progress=progress,
            publishing=publishing,
            attempt=attempt,
            training=training,
            plan=plan,
            workers=workers,
            evaluation=evaluation,
            provenance=provenance,
            cost=cost,
            integrations=integrations,
        )

        job_extension.additional_properties = d
        return job_extension

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
