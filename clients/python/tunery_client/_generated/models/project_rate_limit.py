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

T = TypeVar("T", bound="ProjectRateLimit")


@_attrs_define
class ProjectRateLimit:
    """What a project may send to one base model and to the models tuned from it.

    Attributes:
        id (str):
        object_ (Literal['project.rate_limit']):  Default: 'project.rate_limit'.
        model (str): The base model.
        max_requests_per_1_minute (int):
        max_tokens_per_1_minute (int):
    """

    id: str
    model: str
    max_requests_per_1_minute: int
    max_tokens_per_1_minute: int
    object_: Literal["project.rate_limit"] = "project.rate_limit"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_ = self.object_

        model = self.model

        max_requests_per_1_minute = self.max_requests_per_1_minute

        max_tokens_per_1_minute = self.max_tokens_per_1_minute

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "model": model,
                "max_requests_per_1_minute": max_requests_per_1_minute,
                "max_tokens_per_1_minute": max_tokens_per_1_minute,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["project.rate_limit"], d.pop("object"))
        if object_ != "project.rate_limit":
            raise ValueError(f"object must match const 'project.rate_limit', got '{object_}'")

        model = d.pop("model")

        max_requests_per_1_minute = d.pop("max_requests_per_1_minute")

        max_tokens_per_1_minute = d.pop("max_tokens_per_1_minute")

        project_rate_limit = cls(
            id=id,
            object_=object_,
            model=model,
            max_requests_per_1_minute=max_requests_per_1_minute,
            max_tokens_per_1_minute=max_tokens_per_1_minute,
        )

        project_rate_limit.additional_properties = d
        return project_rate_limit

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
