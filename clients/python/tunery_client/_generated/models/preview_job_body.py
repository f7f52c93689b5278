from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.create_job_extension import CreateJobExtension
    from ..models.dpo_method_body import DpoMethodBody
    from ..models.hyperparameters_body import HyperparametersBody
    from ..models.metadata import Metadata
    from ..models.reinforcement_method_body import ReinforcementMethodBody
    from ..models.supervised_method_body import SupervisedMethodBody
    from ..models.training_options import TrainingOptions
    from ..models.wandb_integration_body import WandbIntegrationBody


T = TypeVar("T", bound="PreviewJobBody")


@_attrs_define
class PreviewJobBody:
    """The body of a create request, and the rows to show.

    Attributes:
        model (str): The id of a base model, as listed by `GET /v1/models`, or a tuned model or checkpoint (`ft:…`) to
            continue from, like `training.from_checkpoint`.
        training_file (str): Id of a processed file with the purpose `fine-tune`.
        validation_file (None | str | Unset):
        suffix (None | str | Unset): Becomes part of the tuned model's name.
        seed (int | None | Unset): Generated if absent, and shown in the job object.
        hyperparameters (HyperparametersBody | None | Unset): The older place of `method.supervised.hyperparameters`.
            Refused for other methods.
        method (DpoMethodBody | None | ReinforcementMethodBody | SupervisedMethodBody | Unset):
        metadata (Metadata | None | Unset):
        integrations (list[WandbIntegrationBody] | None | Unset): OpenAI's integrations: a run in Weights & Biases. See
            `tunery.integrations` for others.
        training (None | TrainingOptions | Unset): Tunery's extension: how the weights are adapted. If absent, LoRA with
            the defaults.
        tunery (CreateJobExtension | None | Unset): Tunery's other extensions.
        n (int | Unset): How many rows to show, from the first one. Default: 5.
        lines (list[int] | None | Unset): Line numbers of the rows to show instead, counted from 1.
    """

    model: str
    training_file: str
    validation_file: None | str | Unset = UNSET
    suffix: None | str | Unset = UNSET
    seed: int | None | Unset = UNSET
    hyperparameters: HyperparametersBody | None | Unset = UNSET
    method: DpoMethodBody | None | ReinforcementMethodBody | SupervisedMethodBody | Unset = UNSET
    metadata: Metadata | None | Unset = UNSET
    integrations: list[WandbIntegrationBody] | None | Unset = UNSET
    training: None | TrainingOptions | Unset = UNSET
    tunery: CreateJobExtension | None | Unset = UNSET
    n: int | Unset = 5
    lines: list[int] | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.create_job_extension import CreateJobExtension  # noqa: PLC0415
        from ..models.dpo_method_body import DpoMethodBody  # noqa: PLC0415
        from ..models.hyperparameters_body import HyperparametersBody  # noqa: PLC0415
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.reinforcement_method_body import ReinforcementMethodBody  # noqa: PLC0415
        from ..models.supervised_method_body import SupervisedMethodBody  # noqa: PLC0415
        from ..models.training_options import TrainingOptions  # noqa: PLC0415

        model = self.model

        training_file = self.training_file

        validation_file: None | str | Unset
        if isinstance(self.validation_file, Unset):
            validation_file = UNSET
        else:
            validation_file = self.validation_file

        suffix: None | str | Unset
        if isinstance(self.suffix, Unset):
            suffix = UNSET
        else:
            suffix = self.suffix

        seed: int | None | Unset
        if isinstance(self.seed, Unset):
            seed = UNSET
        else:
            seed = self.seed

        hyperparameters: dict[str, Any] | None | Unset
        if isinstance(self.hyperparameters, Unset):
            hyperparameters = UNSET
        elif isinstance(self.hyperparameters, HyperparametersBody):
            hyperparameters = self.hyperparameters.to_dict()
        else:
            hyperparameters = self.hyperparameters

        method: dict[str, Any] | None | Unset
        if isinstance(self.method, Unset):
            method = UNSET
        elif isinstance(self.method, SupervisedMethodBody):
            method = self.method.to_dict()
        elif isinstance(self.method, DpoMethodBody):
            method = self.method.to_dict()
        elif isinstance(self.method, ReinforcementMethodBody):
            method = self.method.to_dict()
        else:
            method = self.method

        metadata: dict[str, Any] | None | Unset
        if isinstance(self.metadata, Unset):
            metadata = UNSET
        elif isinstance(self.metadata, Metadata):
            metadata = self.metadata.to_dict()
        else:
            metadata = self.metadata

        integrations: list[dict[str, Any]] | None | Unset
        if isinstance(self.integrations, Unset):
            integrations = UNSET
        elif isinstance(self.integrations, list):
            integrations = []
            for integrations_type_0_item_data in self.integrations:
                integrations_type_0_item = integrations_type_0_item_data.to_dict()
                integrations.append(integrations_type_0_item)

        else:
            integrations = self.integrations

        training: dict[str, Any] | None | Unset
        if isinstance(self.training, Unset):
            training = UNSET
        elif isinstance(self.training, TrainingOptions):
            training = self.training.to_dict()
        else:
            training = self.training

        tunery: dict[str, Any] | None | Unset
        if isinstance(self.tunery, Unset):
            tunery = UNSET
        elif isinstance(self.tunery, CreateJobExtension):
            tunery = self.tunery.to_dict()
        else:
            tunery = self.tunery

        n = self.n

        lines: list[int] | None | Unset
        if isinstance(self.lines, Unset):
            lines = UNSET
        elif isinstance(self.lines, list):
            lines = self.lines

        else:
            lines = self.lines

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "model": model,
                "training_file": training_file,
            }
        )
        if validation_file is not UNSET:
            field_dict["validation_file"] = validation_file
        if suffix is not UNSET:
            field_dict["suffix"] = suffix
        if seed is not UNSET:
            field_dict["seed"] = seed
        if hyperparameters is not UNSET:
            field_dict["hyperparameters"] = hyperparameters
        if method is not UNSET:
            field_dict["method"] = method
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if integrations is not UNSET:
            field_dict["integrations"] = integrations
        if training is not UNSET:
            field_dict["training"] = training
        if tunery is not UNSET:
            field_dict["tunery"] = tunery
        if n is not UNSET:
            field_dict["n"] = n
        if lines is not UNSET:
            field_dict["lines"] = lines

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.create_job_extension import CreateJobExtension  # noqa: PLC0415
        from ..models.dpo_method_body import DpoMethodBody  # noqa: PLC0415
        from ..models.hyperparameters_body import HyperparametersBody  # noqa: PLC0415
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.reinforcement_method_body import ReinforcementMethodBody  # noqa: PLC0415
        from ..models.supervised_method_body import SupervisedMethodBody  # noqa: PLC0415
        from ..models.training_options import TrainingOptions  # noqa: PLC0415
        from ..models.wandb_integration_body import WandbIntegrationBody  # noqa: PLC0415

        d = dict(src_dict)
        model = d.pop("model")

        training_file = d.pop("training_file")

        def _parse_validation_file(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        validation_file = _parse_validation_file(d.pop("validation_file", UNSET))

        def _parse_suffix(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        suffix = _parse_suffix(d.pop("suffix", UNSET))

        def _parse_seed(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        seed = _parse_seed(d.pop("seed", UNSET))

        def _parse_hyperparameters(data: object) -> HyperparametersBody | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                hyperparameters_type_0 = HyperparametersBody.from_dict(data)

                return hyperparameters_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(HyperparametersBody | None | Unset, data)

        hyperparameters = _parse_hyperparameters(d.pop("hyperparameters", UNSET))

        def _parse_method(
            data: object,
        ) -> DpoMethodBody | None | ReinforcementMethodBody | SupervisedMethodBody | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                method_type_0_type_0 = SupervisedMethodBody.from_dict(data)

                return method_type_0_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                method_type_0_type_1 = DpoMethodBody.from_dict(data)

                return method_type_0_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                method_type_0_type_2 = ReinforcementMethodBody.from_dict(data)

                return method_type_0_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(DpoMethodBody | None | ReinforcementMethodBody | SupervisedMethodBody | Unset, data)

        method = _parse_method(d.pop("method", UNSET))

        def _parse_metadata(data: object) -> Metadata | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                metadata_type_0 = Metadata.from_dict(data)

                return metadata_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Metadata | None | Unset, data)

        metadata = _parse_metadata(d.pop("metadata", UNSET))

        def _parse_integrations(data: object) -> list[WandbIntegrationBody] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                integrations_type_0 = []
                _integrations_type_0 = data
                for integrations_type_0_item_data in _integrations_type_0:
                    integrations_type_0_item = WandbIntegrationBody.from_dict(integrations_type_0_item_data)

                    integrations_type_0.append(integrations_type_0_item)

                return integrations_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[WandbIntegrationBody] | None | Unset, data)

        integrations = _parse_integrations(d.pop("integrations", UNSET))

        def _parse_training(data: object) -> None | TrainingOptions | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                training_type_0 = TrainingOptions.from_dict(data)

                return training_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | TrainingOptions | Unset, data)

        training = _parse_training(d.pop("training", UNSET))

        def _parse_tunery(data: object) -> CreateJobExtension | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tunery_type_0 = CreateJobExtension.from_dict(data)

                return tunery_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(CreateJobExtension | None | Unset, data)

        tunery = _parse_tunery(d.pop("tunery", UNSET))

        n = d.pop("n", UNSET)

        def _parse_lines(data: object) -> list[int] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                lines_type_0 = cast(list[int], data)

                return lines_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[int] | None | Unset, data)

        lines = _parse_lines(d.pop("lines", UNSET))

        preview_job_body = cls(
            model=model,
            training_file=training_file,
            validation_file=validation_file,
            suffix=suffix,
            seed=seed,
            hyperparameters=hyperparameters,
            method=method,
            metadata=metadata,
            integrations=integrations,
            training=training,
            tunery=tunery,
            n=n,
            lines=lines,
        )

        return preview_job_body
