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

if TYPE_CHECKING:
    from ..models.allowed_tools_definition import AllowedToolsDefinition


T = TypeVar("T", bound="AllowedTools")


@_attrs_define
class AllowedTools:
    """Restricts the model to some of the tools. `mode` means the same as `auto` or `required` for all of
    them.

        Attributes:
            type_ (Literal['allowed_tools']):
            allowed_tools (AllowedToolsDefinition):
    """

    type_: Literal["allowed_tools"]
    allowed_tools: AllowedToolsDefinition

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        allowed_tools = self.allowed_tools.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "allowed_tools": allowed_tools,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.allowed_tools_definition import AllowedToolsDefinition  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["allowed_tools"], d.pop("type"))
        if type_ != "allowed_tools":
            raise ValueError(f"type must match const 'allowed_tools', got '{type_}'")

        allowed_tools = AllowedToolsDefinition.from_dict(d.pop("allowed_tools"))

        allowed_tools = cls(
            type_=type_,
            allowed_tools=allowed_tools,
        )

        return allowed_tools
