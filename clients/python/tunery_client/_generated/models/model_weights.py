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

from ..models.model_weights_form import ModelWeightsForm, check_model_weights_form

if TYPE_CHECKING:
    from ..models.weights_file_object import WeightsFileObject


T = TypeVar("T", bound="ModelWeights")


@_attrs_define
class ModelWeights:
    """The files of a tuned model's weights.

    Attributes:
        object_ (Literal['model.weights']):  Default: 'model.weights'.
        model (str):
        base (str): Id of the base model.
        form (ModelWeightsForm): `adapter`: a folder for PEFT. `full`: a folder for transformers. `prefix`: keys and
            values that precede
            every prompt. `gguf`: files for llama.cpp.
        bytes_ (int): Total size of all files, in bytes.
        files (list[WeightsFileObject]):
    """

    model: str
    base: str
    form: ModelWeightsForm
    bytes_: int
    files: list[WeightsFileObject]
    object_: Literal["model.weights"] = "model.weights"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        model = self.model

        base = self.base

        form: str = self.form

        bytes_ = self.bytes_

        files = []
        for files_item_data in self.files:
            files_item = files_item_data.to_dict()
            files.append(files_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "model": model,
                "base": base,
                "form": form,
                "bytes": bytes_,
                "files": files,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.weights_file_object import WeightsFileObject  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["model.weights"], d.pop("object"))
        if object_ != "model.weights":
            raise ValueError(f"object must match const 'model.weights', got '{object_}'")

        model = d.pop("model")

        base = d.pop("base")

        form = check_model_weights_form(d.pop("form"))

        bytes_ = d.pop("bytes")

        files = []
        _files = d.pop("files")
        for files_item_data in _files:
            files_item = WeightsFileObject.from_dict(files_item_data)

            files.append(files_item)

        model_weights = cls(
            object_=object_,
            model=model,
            base=base,
            form=form,
            bytes_=bytes_,
            files=files,
        )

        model_weights.additional_properties = d
        return model_weights

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
