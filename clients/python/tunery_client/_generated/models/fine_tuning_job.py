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

from ..models.fine_tuning_job_status import (
    FineTuningJobStatus,
    check_fine_tuning_job_status,
)

if TYPE_CHECKING:
    from ..models.dpo_method import DpoMethod
    from ..models.job_error import JobError
    from ..models.job_extension import JobExtension
    from ..models.metadata import Metadata
    from ..models.resolved_dpo_hyperparameters import ResolvedDpoHyperparameters
    from ..models.resolved_hyperparameters import ResolvedHyperparameters
    from ..models.supervised_method import SupervisedMethod
    from ..models.wandb_integration import WandbIntegration


T = TypeVar("T", bound="FineTuningJob")


@_attrs_define
class FineTuningJob:
    """
    Attributes:
        id (str):
        object_ (Literal['fine_tuning.job']):  Default: 'fine_tuning.job'.
        created_at (int):
        error (JobError | None):
        fine_tuned_model (None | str):
        finished_at (int | None):
        hyperparameters (ResolvedDpoHyperparameters | ResolvedHyperparameters):
        model (str):
        organization_id (str):
        result_files (list[str]):
        status (FineTuningJobStatus):
        trained_tokens (int | None):
        training_file (str):
        validation_file (None | str):
        seed (int):
        estimated_finish (int | None):
        integrations (list[WandbIntegration]): The integrations that OpenAI also supports. `tunery.integrations` lists
            all of them.
        method (DpoMethod | SupervisedMethod):
        metadata (Metadata | None):
        user_provided_suffix (None | str):
        tunery (JobExtension): Tunery's additions to OpenAI's job object.
    """

    id: str
    created_at: int
    error: JobError | None
    fine_tuned_model: None | str
    finished_at: int | None
    hyperparameters: ResolvedDpoHyperparameters | ResolvedHyperparameters
    model: str
    organization_id: str
    result_files: list[str]
    status: FineTuningJobStatus
    trained_tokens: int | None
    training_file: str
    validation_file: None | str
    seed: int
    estimated_finish: int | None
    integrations: list[WandbIntegration]
    method: DpoMethod | SupervisedMethod
    metadata: Metadata | None
    user_provided_suffix: None | str
    tunery: JobExtension
    object_: Literal["fine_tuning.job"] = "fine_tuning.job"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.job_error import JobError  # noqa: PLC0415
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.resolved_dpo_hyperparameters import ResolvedDpoHyperparameters  # noqa: PLC0415
        from ..models.supervised_method import SupervisedMethod  # noqa: PLC0415

        id = self.id

        object_ = self.object_

        created_at = self.created_at

        error: dict[str, Any] | None
        if isinstance(self.error, JobError):
            error = self.error.to_dict()
        else:
            error = self.error

        fine_tuned_model: None | str
        fine_tuned_model = self.fine_tuned_model

        finished_at: int | None
        finished_at = self.finished_at

        hyperparameters: dict[str, Any]
        if isinstance(self.hyperparameters, ResolvedDpoHyperparameters):
            hyperparameters = self.hyperparameters.to_dict()
        else:
            hyperparameters = self.hyperparameters.to_dict()

        model = self.model

        organization_id = self.organization_id

        result_files = self.result_files

        status: str = self.status

        trained_tokens: int | None
        trained_tokens = self.trained_tokens

        training_file = self.training_file

        validation_file: None | str
        validation_file = self.validation_file

        seed = self.seed

        estimated_finish: int | None
        estimated_finish = self.estimated_finish

        integrations = []
        for integrations_item_data in self.integrations:
            integrations_item = integrations_item_data.to_dict()
            integrations.append(integrations_item)

        method: dict[str, Any]
        if isinstance(self.method, SupervisedMethod):
            method = self.method.to_dict()
        else:
            method = self.method.to_dict()

        metadata: dict[str, Any] | None
        if isinstance(self.metadata, Metadata):
            metadata = self.metadata.to_dict()
        else:
            metadata = self.metadata

        user_provided_suffix: None | str
        user_provided_suffix = self.user_provided_suffix

        tunery = self.tunery.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "created_at": created_at,
                "error": error,
                "fine_tuned_model": fine_tuned_model,
                "finished_at": finished_at,
                "hyperparameters": hyperparameters,
                "model": model,
                "organization_id": organization_id,
                "result_files": result_files,
                "status": status,
                "trained_tokens": trained_tokens,
                "training_file": training_file,
                "validation_file": validation_file,
                "seed": seed,
                "estimated_finish": estimated_finish,
                "integrations": integrations,
                "method": method,
                "metadata": metadata,
                "user_provided_suffix": user_provided_suffix,
                "tunery": tunery,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.dpo_method import DpoMethod  # noqa: PLC0415
        from ..models.job_error import JobError  # noqa: PLC0415
        from ..models.job_extension import JobExtension  # noqa: PLC0415
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.resolved_dpo_hyperparameters import ResolvedDpoHyperparameters  # noqa: PLC0415
        from ..models.resolved_hyperparameters import ResolvedHyperparameters  # noqa: PLC0415
        from ..models.supervised_method import SupervisedMethod  # noqa: PLC0415
        from ..models.wandb_integration import WandbIntegration  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["fine_tuning.job"], d.pop("object"))
        if object_ != "fine_tuning.job":
            raise ValueError(f"object must match const 'fine_tuning.job', got '{object_}'")

        created_at = d.pop("created_at")

        def _parse_error(data: object) -> JobError | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                error_type_0 = JobError.from_dict(data)

                return error_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobError | None, data)

        error = _parse_error(d.pop("error"))

        def _parse_fine_tuned_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        fine_tuned_model = _parse_fine_tuned_model(d.pop("fine_tuned_model"))

        def _parse_finished_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        finished_at = _parse_finished_at(d.pop("finished_at"))

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

        model = d.pop("model")

        organization_id = d.pop("organization_id")

        result_files = cast(list[str], d.pop("result_files"))

        status = check_fine_tuning_job_status(d.pop("status"))

        def _parse_trained_tokens(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        trained_tokens = _parse_trained_tokens(d.pop("trained_tokens"))

        training_file = d.pop("training_file")

        def _parse_validation_file(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        validation_file = _parse_validation_file(d.pop("validation_file"))

        seed = d.pop("seed")

        def _parse_estimated_finish(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        estimated_finish = _parse_estimated_finish(d.pop("estimated_finish"))

        integrations = []
        _integrations = d.pop("integrations")
        for integrations_item_data in _integrations:
            integrations_item = WandbIntegration.from_dict(integrations_item_data)

            integrations.append(integrations_item)

        def _parse_method(data: object) -> DpoMethod | SupervisedMethod:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                method_type_0 = SupervisedMethod.from_dict(data)

                return method_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            method_type_1 = DpoMethod.from_dict(data)

            return method_type_1

        method = _parse_method(d.pop("method"))

        def _parse_metadata(data: object) -> Metadata | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                metadata_type_0 = Metadata.from_dict(data)

                return metadata_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Metadata | None, data)

        metadata = _parse_metadata(d.pop("metadata"))

        def _parse_user_provided_suffix(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        user_provided_suffix = _parse_user_provided_suffix(d.pop("user_provided_suffix"))

        tunery = JobExtension.from_dict(d.pop("tunery"))

        fine_tuning_job = cls(
            id=id,
            object_=object_,
            created_at=created_at,
            error=error,
            fine_tuned_model=fine_tuned_model,
            finished_at=finished_at,
            hyperparameters=hyperparameters,
            model=model,
            organization_id=organization_id,
            result_files=result_files,
            status=status,
            trained_tokens=trained_tokens,
            training_file=training_file,
            validation_file=validation_file,
            seed=seed,
            estimated_finish=estimated_finish,
            integrations=integrations,
            method=method,
            metadata=metadata,
            user_provided_suffix=user_provided_suffix,
            tunery=tunery,
        )

        fine_tuning_job.additional_properties = d
        return fine_tuning_job

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
