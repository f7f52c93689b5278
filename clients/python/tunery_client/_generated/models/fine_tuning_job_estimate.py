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

if TYPE_CHECKING:
    from ..models.estimated_price import EstimatedPrice
    from ..models.estimated_queue import EstimatedQueue
    from ..models.estimated_rows import EstimatedRows
    from ..models.estimated_time import EstimatedTime
    from ..models.estimated_tokens import EstimatedTokens
    from ..models.fine_tuning_job_estimate_unknown import FineTuningJobEstimateUnknown
    from ..models.job_plan import JobPlan
    from ..models.job_workers import JobWorkers
    from ..models.resolved_dpo_hyperparameters import ResolvedDpoHyperparameters
    from ..models.resolved_hyperparameters import ResolvedHyperparameters


T = TypeVar("T", bound="FineTuningJobEstimate")


@_attrs_define
class FineTuningJobEstimate:
    """
    Attributes:
        object_ (Literal['fine_tuning.job.estimate']):  Default: 'fine_tuning.job.estimate'.
        model (str): The base model.
        seed (int): Pass it to the create request to hold out the same examples. If the request has no seed, it is
            derived
            from the body, so the same body gives the same seed.
        hyperparameters (ResolvedDpoHyperparameters | ResolvedHyperparameters): The hyperparameters, with every "auto"
            resolved.
        steps (int):
        rows (EstimatedRows):
        tokens (EstimatedTokens): Exact token counts, as training will count them.
        time (EstimatedTime | None):
        plan (JobPlan): How the job runs: the resolved values of every `auto` in `training` that concerns devices.
        workers (JobWorkers | None): Workers of an elastic job.
        measured_memory_bytes (int | None): The highest peak memory of the runs that `time` is based on, in bytes.
        queue (EstimatedQueue): Estimated wait until the job starts, computed with the scheduler's own policy from the
            jobs that exist
            now.
        price (EstimatedPrice | None): Estimated price at the operator's rates.
        unknown (FineTuningJobEstimateUnknown): Why parts of the estimate are null, by field name.
        warnings (list[str]): Warnings for the job's owner, as they would appear in the job's events.
    """

    model: str
    seed: int
    hyperparameters: ResolvedDpoHyperparameters | ResolvedHyperparameters
    steps: int
    rows: EstimatedRows
    tokens: EstimatedTokens
    time: EstimatedTime | None
    plan: JobPlan
    workers: JobWorkers | None
    measured_memory_bytes: int | None
    queue: EstimatedQueue
    price: EstimatedPrice | None
    unknown: FineTuningJobEstimateUnknown
    warnings: list[str]
    object_: Literal["fine_tuning.job.estimate"] = "fine_tuning.job.estimate"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.estimated_price import EstimatedPrice  # noqa: PLC0415
        from ..models.estimated_time import EstimatedTime  # noqa: PLC0415
        from ..models.job_workers import JobWorkers  # noqa: PLC0415
        from ..models.resolved_dpo_hyperparameters import ResolvedDpoHyperparameters  # noqa: PLC0415

        object_ = self.object_

        model = self.model

        seed = self.seed

        hyperparameters: dict[str, Any]
        if isinstance(self.hyperparameters, ResolvedDpoHyperparameters):
            hyperparameters = self.hyperparameters.to_dict()
        else:
            hyperparameters = self.hyperparameters.to_dict()

        steps = self.steps

        rows = self.rows.to_dict()

        tokens = self.tokens.to_dict()

        time: dict[str, Any] | None
        if isinstance(self.time, EstimatedTime):
            time = self.time.to_dict()
        else:
            time = self.time

        plan = self.plan.to_dict()

        workers: dict[str, Any] | None
        if isinstance(self.workers, JobWorkers):
            workers = self.workers.to_dict()
        else:
            workers = self.workers

        measured_memory_bytes: int | None
        measured_memory_bytes = self.measured_memory_bytes

        queue = self.queue.to_dict()

        price: dict[str, Any] | None
        if isinstance(self.price, EstimatedPrice):
            price = self.price.to_dict()
        else:
            price = self.price

        unknown = self.unknown.to_dict()

        warnings = self.warnings

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "model": model,
                "seed": seed,
                "hyperparameters": hyperparameters,
                "steps": steps,
                "rows": rows,
                "tokens": tokens,
                "time": time,
                "plan": plan,
                "workers": workers,
                "measured_memory_bytes": measured_memory_bytes,
                "queue": queue,
                "price": price,
                "unknown": unknown,
                "warnings": warnings,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.estimated_price import EstimatedPrice  # noqa: PLC0415
        from ..models.estimated_queue import EstimatedQueue  # noqa: PLC0415
        from ..models.estimated_rows import EstimatedRows  # noqa: PLC0415
        from ..models.estimated_time import EstimatedTime  # noqa: PLC0415
        from ..models.estimated_tokens import EstimatedTokens  # noqa: PLC0415
        from ..models.fine_tuning_job_estimate_unknown import (
            FineTuningJobEstimateUnknown,  # noqa: PLC0415
        )
        from ..models.job_plan import JobPlan  # noqa: PLC0415
        from ..models.job_workers import JobWorkers  # noqa: PLC0415
        from ..models.resolved_dpo_hyperparameters import ResolvedDpoHyperparameters  # noqa: PLC0415
        from ..models.resolved_hyperparameters import ResolvedHyperparameters  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["fine_tuning.job.estimate"], d.pop("object"))
        if object_ != "fine_tuning.job.estimate":
            raise ValueError(f"object must match const 'fine_tuning.job.estimate', got '{object_}'")

        model = d.pop("model")

        seed = d.pop("seed")

        def _parse_hyperparameters(data: object) -> ResolvedDpoHyperparameters | ResolvedHyperparameters:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                hyperparameters_type_0 = ResolvedDpoHyperparameters.from_dict(data)

                return hyperparameters_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            hyperparameters_type_1 = ResolvedHyperparameters.from_dict(data)

            return hyperparameters_type_1

        hyperparameters = _parse_hyperparameters(d.pop("hyperparameters"))

        steps = d.pop("steps")

        rows = EstimatedRows.from_dict(d.pop("rows"))

        tokens = EstimatedTokens.from_dict(d.pop("tokens"))

        def _parse_time(data: object) -> EstimatedTime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                time_type_0 = EstimatedTime.from_dict(data)

                return time_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(EstimatedTime | None, data)

        time = _parse_time(d.pop("time"))

        plan = JobPlan.from_dict(d.pop("plan"))

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

        def _parse_measured_memory_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        measured_memory_bytes = _parse_measured_memory_bytes(d.pop("measured_memory_bytes"))

        queue = EstimatedQueue.from_dict(d.pop("queue"))

        def _parse_price(data: object) -> EstimatedPrice | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                price_type_0 = EstimatedPrice.from_dict(data)

                return price_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(EstimatedPrice | None, data)

        price = _parse_price(d.pop("price"))

        unknown = FineTuningJobEstimateUnknown.from_dict(d.pop("unknown"))

        warnings = cast(list[str], d.pop("warnings"))

        fine_tuning_job_estimate = cls(
            object_=object_,
            model=model,
            seed=seed,
            hyperparameters=hyperparameters,
            steps=steps,
            rows=rows,
            tokens=tokens,
            time=time,
            plan=plan,
            workers=workers,
            measured_memory_bytes=measured_memory_bytes,
            queue=queue,
            price=price,
            unknown=unknown,
            warnings=warnings,
        )

        fine_tuning_job_estimate.additional_properties = d
        return fine_tuning_job_estimate

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
