from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.json_object import JsonObject
    from ..models.model_provenance_versions import ModelProvenanceVersions


T = TypeVar("T", bound="ModelProvenance")


@_attrs_define
class ModelProvenance:
    """Everything needed to train the model again. SHA-256 digests are in hexadecimal.

    Attributes:
        base (str): Id of the base model.
        base_sha256 (str): SHA-256 of the base's weight files.
        template_sha256 (str): SHA-256 of the chat template's text.
        training_sha256 (str): SHA-256 of the training file.
        validation_sha256 (None | str):
        general_sha256 (None | str): SHA-256 of `training.general_file`. Null if the built-in general set was used.
        parent (None | str): The tuned model or checkpoint that the job started from. Null if it started from the base.
        parent_sha256 (None | str): SHA-256 of the parent's manifest.
        seed (int):
        config (JsonObject):
        versions (ModelProvenanceVersions): Versions of Python and of the packages that affect the numbers.
        code_sha256 (None | str): SHA-256 of the source files of training. Null for models that were trained before it
            was recorded.
        device (None | str): `cpu`, or the GPU's name.
    """

    base: str
    base_sha256: str
    template_sha256: str
    training_sha256: str
    validation_sha256: None | str
    general_sha256: None | str
    parent: None | str
    parent_sha256: None | str
    seed: int
    config: JsonObject
    versions: ModelProvenanceVersions
    code_sha256: None | str
    device: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        base = self.base

        base_sha256 = self.base_sha256

        template_sha256 = self.template_sha256

        training_sha256 = self.training_sha256

        validation_sha256: None | str
        validation_sha256 = self.validation_sha256

        general_sha256: None | str
        general_sha256 = self.general_sha256

        parent: None | str
        parent = self.parent

        parent_sha256: None | str
        parent_sha256 = self.parent_sha256

        seed = self.seed

        config = self.config.to_dict()

        versions = self.versions.to_dict()

        code_sha256: None | str
        code_sha256 = self.code_sha256

        device: None | str
        device = self.device

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "base": base,
                "base_sha256": base_sha256,
                "template_sha256": template_sha256,
                "training_sha256": training_sha256,
                "validation_sha256": validation_sha256,
                "general_sha256": general_sha256,
                "parent": parent,
                "parent_sha256": parent_sha256,
                "seed": seed,
                "config": config,
                "versions": versions,
                "code_sha256": code_sha256,
                "device": device,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.json_object import JsonObject  # noqa: PLC0415
        from ..models.model_provenance_versions import ModelProvenanceVersions  # noqa: PLC0415

        d = dict(src_dict)
        base = d.pop("base")

        base_sha256 = d.pop("base_sha256")

        template_sha256 = d.pop("template_sha256")

        training_sha256 = d.pop("training_sha256")

        def _parse_validation_sha256(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        validation_sha256 = _parse_validation_sha256(d.pop("validation_sha256"))

        def _parse_general_sha256(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        general_sha256 = _parse_general_sha256(d.pop("general_sha256"))

        def _parse_parent(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        parent = _parse_parent(d.pop("parent"))

        def _parse_parent_sha256(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        parent_sha256 = _parse_parent_sha256(d.pop("parent_sha256"))

        seed = d.pop("seed")

        config = JsonObject.from_dict(d.pop("config"))

        versions = ModelProvenanceVersions.from_dict(d.pop("versions"))

        def _parse_code_sha256(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        code_sha256 = _parse_code_sha256(d.pop("code_sha256"))

        def _parse_device(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        device = _parse_device(d.pop("device"))

        model_provenance = cls(
            base=base,
            base_sha256=base_sha256,
            template_sha256=template_sha256,
            training_sha256=training_sha256,
            validation_sha256=validation_sha256,
            general_sha256=general_sha256,
            parent=parent,
            parent_sha256=parent_sha256,
            seed=seed,
            config=config,
            versions=versions,
            code_sha256=code_sha256,
            device=device,
        )

        model_provenance.additional_properties = d
        return model_provenance

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
