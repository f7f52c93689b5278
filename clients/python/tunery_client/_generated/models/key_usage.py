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

T = TypeVar("T", bound="KeyUsage")


@_attrs_define
class KeyUsage:
    """What one API key used of one model on one day.

    Attributes:
        object_ (Literal['usage']):  Default: 'usage'.
        date (str): YYYY-MM-DD, in UTC.
        api_key_id (str): The public part of the key.
        model (str): The model name in the requests.
        requests (int): Requests that the model server accepted, including those that broke off.
        prompt_tokens (int):
        completion_tokens (int): Completion tokens. A request that broke off counts approximately what was generated
            until then.
    """

    date: str
    api_key_id: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    object_: Literal["usage"] = "usage"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        date = self.date

        api_key_id = self.api_key_id

        model = self.model

        requests = self.requests

        prompt_tokens = self.prompt_tokens

        completion_tokens = self.completion_tokens

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "date": date,
                "api_key_id": api_key_id,
                "model": model,
                "requests": requests,
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        object_ = cast(Literal["usage"], d.pop("object"))
        if object_ != "usage":
            raise ValueError(f"object must match const 'usage', got '{object_}'")

        date = d.pop("date")

        api_key_id = d.pop("api_key_id")

        model = d.pop("model")

        requests = d.pop("requests")

        prompt_tokens = d.pop("prompt_tokens")

        completion_tokens = d.pop("completion_tokens")

        key_usage = cls(
            object_=object_,
            date=date,
            api_key_id=api_key_id,
            model=model,
            requests=requests,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
        )

        key_usage.additional_properties = d
        return key_usage

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
