from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

T = TypeVar("T", bound="PastCall")


@_attrs_define
class PastCall:
    """A call that a server answered with.

    Attributes:
        type_ (Literal['function_call']):
        call_id (str):
        name (str):
        arguments (str): JSON, as the model wrote it.
    """

    type_: Literal["function_call"]
    call_id: str
    name: str
    arguments: str

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        call_id = self.call_id

        name = self.name

        arguments = self.arguments

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "call_id": call_id,
                "name": name,
                "arguments": arguments,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["function_call"], d.pop("type"))
        if type_ != "function_call":
            raise ValueError(f"type must match const 'function_call', got '{type_}'")

        call_id = d.pop("call_id")

        name = d.pop("name")

        arguments = d.pop("arguments")

        past_call = cls(
            type_=type_,
            call_id=call_id,
            name=name,
            arguments=arguments,
        )

        return past_call
