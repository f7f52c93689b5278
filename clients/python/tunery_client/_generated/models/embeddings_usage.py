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

T = TypeVar("T", bound="EmbeddingsUsage")


@_attrs_define
class EmbeddingsUsage:
    """
    Attributes:
        project_id (None | str):
        user_id (None | str): Always null: keys belong to projects, not to users.
        api_key_id (None | str):
        model (None | str):
        object_ (Literal['organization.usage.embeddings.result']):  Default: 'organization.usage.embeddings.result'.
        input_tokens (int):
        num_model_requests (int):
    """

    project_id: None | str
    user_id: None | str
    api_key_id: None | str
    model: None | str
    input_tokens: int
    num_model_requests: int
    object_: Literal["organization.usage.embeddings.result"] = "organization.usage.embeddings.result"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        project_id: None | str
        project_id = self.project_id

        user_id: None | str
        user_id = self.user_id

        api_key_id: None | str
        api_key_id = self.api_key_id

        model: None | str
        model = self.model

        object_ = self.object_

        input_tokens = self.input_tokens

        num_model_requests = self.num_model_requests

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "project_id": project_id,
                "user_id": user_id,
                "api_key_id": api_key_id,
                "model": model,
                "object": object_,
                "input_tokens": input_tokens,
                "num_model_requests": num_model_requests,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_project_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        project_id = _parse_project_id(d.pop("project_id"))

        def _parse_user_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        user_id = _parse_user_id(d.pop("user_id"))

        def _parse_api_key_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        api_key_id = _parse_api_key_id(d.pop("api_key_id"))

        def _parse_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        model = _parse_model(d.pop("model"))

        object_ = cast(Literal["organization.usage.embeddings.result"], d.pop("object"))
        if object_ != "organization.usage.embeddings.result":
            raise ValueError(
                f"object must match const 'organization.usage.embeddings.result', got '{object_}'"
            )

        input_tokens = d.pop("input_tokens")

        num_model_requests = d.pop("num_model_requests")

        embeddings_usage = cls(
            project_id=project_id,
            user_id=user_id,
            api_key_id=api_key_id,
            model=model,
            object_=object_,
            input_tokens=input_tokens,
            num_model_requests=num_model_requests,
        )

        embeddings_usage.additional_properties = d
        return embeddings_usage

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
