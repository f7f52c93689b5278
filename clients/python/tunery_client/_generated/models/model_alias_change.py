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

T = TypeVar("T", bound="ModelAliasChange")


@_attrs_define
class ModelAliasChange:
    """
    Attributes:
        object_ (Literal['model.alias.change']):  Default: 'model.alias.change'.
        version (int):
        previous_model (None | str): Null if the change created the alias.
        model (None | str): Null if the change deleted the alias.
        api_key_id (str): The key with which the change was made.
        created_at (int):
    """

    version: int
    previous_model: None | str
    model: None | str
    api_key_id: str
    created_at: int
    object_: Literal["model.alias.change"] = "model.alias.change"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        version = self.version

        previous_model: None | str
        previous_model = self.previous_model

        model: None | str
        model = self.model

        api_key_id = self.api_key_id

        created_at = self.created_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "version": version,
                "previous_model": previous_model,
                "model": model,
                "api_key_id": api_key_id,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        object_ = cast(Literal["model.alias.change"], d.pop("object"))
        if object_ != "model.alias.change":
            raise ValueError(f"object must match const 'model.alias.change', got '{object_}'")

        version = d.pop("version")

        def _parse_previous_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        previous_model = _parse_previous_model(d.pop("previous_model"))

        def _parse_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        model = _parse_model(d.pop("model"))

        api_key_id = d.pop("api_key_id")

        created_at = d.pop("created_at")

        model_alias_change = cls(
            object_=object_,
            version=version,
            previous_model=previous_model,
            model=model,
            api_key_id=api_key_id,
            created_at=created_at,
        )

        model_alias_change.additional_properties = d
        return model_alias_change

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
