from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ModelAlias")


@_attrs_define
class ModelAlias:
    """
    Attributes:
        object_ (Literal['model.alias']):  Default: 'model.alias'.
        id (str): The alias itself, which requests can use as `model`.
        model (str): The base model, tuned model or checkpoint that the alias points at.
        is_available (bool): False if the model was deleted, or is no longer shared with this project. Requests that use
            the alias
            are then answered with 404 until it points at another model.
        version (int): The number of changes so far.
        updated_at (int):
    """

    id: str
    model: str
    is_available: bool
    version: int
    updated_at: int
    object_: Literal["model.alias"] = "model.alias"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        id = self.id

        model = self.model

        is_available = self.is_available

        version = self.version

        updated_at = self.updated_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "id": id,
                "model": model,
                "is_available": is_available,
                "version": version,
                "updated_at": updated_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        object_ = cast(Literal["model.alias"], d.pop("object"))
        if object_ != "model.alias":
            raise ValueError(f"object must match const 'model.alias', got '{object_}'")

        id = d.pop("id")

        model = d.pop("model")

        is_available = d.pop("is_available")

        version = d.pop("version")

        updated_at = d.pop("updated_at")

        model_alias = cls(
            object_=object_,
            id=id,
            model=model,
            is_available=is_available,
            version=version,
            updated_at=updated_at,
        )

        model_alias.additional_properties = d
        return model_alias

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
