from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.model_extension_architecture_type_0 import (
    ModelExtensionArchitectureType0,
    check_model_extension_architecture_type_0,
)

if TYPE_CHECKING:
    from ..models.evaluation import Evaluation
    from ..models.model_provenance import ModelProvenance
    from ..models.parity import Parity


T = TypeVar("T", bound="ModelExtension")


@_attrs_define
class ModelExtension:
    """Tunery's additions to OpenAI's model object.

    Attributes:
        base (str): Id of the base model, which may be the model itself.
        architecture (ModelExtensionArchitectureType0 | None): A decoder generates text; an encoder classifies texts or
            words. Null if the base is no longer in the
            catalogue.
        context_length (int | None): Maximum tokens of prompt and answer combined. Null if the base is no longer in the
            catalogue.
        full_context_length (int | None): What `context_length` would be if the GPUs that serve the model had enough
            memory. Null if they do.
        job_id (None | str): The job that created the model. Null for a base model, an imported model, and a model
            shared by another
            project.
        import_id (None | str): The import that created the model. Null unless this project imported it.
        evaluation (Evaluation | None): Null for a base model, an imported one and a checkpoint.
        parity (None | Parity): Null for a base model, an imported one, a checkpoint, and a model published without the
            gate.
        unavailable (None | str): Why the model cannot be used now. Null if it can.
        provenance (ModelProvenance | None): Null for a base model.
        alias_of (None | str): The model that this alias names. Null for a model's own name.
    """

    base: str
    architecture: ModelExtensionArchitectureType0 | None
    context_length: int | None
    full_context_length: int | None
    job_id: None | str
    import_id: None | str
    evaluation: Evaluation | None
    parity: None | Parity
    unavailable: None | str
    provenance: ModelProvenance | None
    alias_of: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.evaluation import Evaluation  # noqa: PLC0415
        from ..models.model_provenance import ModelProvenance  # noqa: PLC0415
        from ..models.parity import Parity  # noqa: PLC0415

        base = self.base

        architecture: None | str
        if isinstance(self.architecture, str):
            architecture = self.architecture
        else:
            architecture = self.architecture

        context_length: int | None
        context_length = self.context_length

        full_context_length: int | None
        full_context_length = self.full_context_length

        job_id: None | str
        job_id = self.job_id

        import_id: None | str
        import_id = self.import_id

        evaluation: dict[str, Any] | None
        if isinstance(self.evaluation, Evaluation):
            evaluation = self.evaluation.to_dict()
        else:
            evaluation = self.evaluation

        parity: dict[str, Any] | None
        if isinstance(self.parity, Parity):
            parity = self.parity.to_dict()
        else:
            parity = self.parity

        unavailable: None | str
        unavailable = self.unavailable

        provenance: dict[str, Any] | None
        if isinstance(self.provenance, ModelProvenance):
            provenance = self.provenance.to_dict()
        else:
            provenance = self.provenance

        alias_of: None | str
        alias_of = self.alias_of

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "base": base,
                "architecture": architecture,
                "context_length": context_length,
                "full_context_length": full_context_length,
                "job_id": job_id,
                "import_id": import_id,
                "evaluation": evaluation,
                "parity": parity,
                "unavailable": unavailable,
                "provenance": provenance,
                "alias_of": alias_of,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.evaluation import Evaluation  # noqa: PLC0415
        from ..models.model_provenance import ModelProvenance  # noqa: PLC0415
        from ..models.parity import Parity  # noqa: PLC0415

        d = dict(src_dict)
        base = d.pop("base")

        def _parse_architecture(data: object) -> ModelExtensionArchitectureType0 | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                architecture_type_0 = check_model_extension_architecture_type_0(data)

                return architecture_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ModelExtensionArchitectureType0 | None, data)

        architecture = _parse_architecture(d.pop("architecture"))

        def _parse_context_length(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        context_length = _parse_context_length(d.pop("context_length"))

        def _parse_full_context_length(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        full_context_length = _parse_full_context_length(d.pop("full_context_length"))

        def _parse_job_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        job_id = _parse_job_id(d.pop("job_id"))

        def _parse_import_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        import_id = _parse_import_id(d.pop("import_id"))

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

        def _parse_parity(data: object) -> None | Parity:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                parity_type_0 = Parity.from_dict(data)

                return parity_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Parity, data)

        parity = _parse_parity(d.pop("parity"))

        def _parse_unavailable(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        unavailable = _parse_unavailable(d.pop("unavailable"))

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

        def _parse_alias_of(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        alias_of = _parse_alias_of(d.pop("alias_of"))

        model_extension = cls(
            base=base,
            architecture=architecture,
            context_length=context_length,
            full_context_length=full_context_length,
            job_id=job_id,
            import_id=import_id,
            evaluation=evaluation,
            parity=parity,
            unavailable=unavailable,
            provenance=provenance,
            alias_of=alias_of,
        )

        model_extension.additional_properties = d
        return model_extension

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
