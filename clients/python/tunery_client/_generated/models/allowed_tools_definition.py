from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..models.allowed_tools_definition_mode import (
    AllowedToolsDefinitionMode,
    check_allowed_tools_definition_mode,
)

if TYPE_CHECKING:
    from ..models.named_tool import NamedTool


T = TypeVar("T", bound="AllowedToolsDefinition")


@_attrs_define
class AllowedToolsDefinition:
    """
    Attributes:
        mode (AllowedToolsDefinitionMode):
        tools (list[NamedTool]):
    """

    mode: AllowedToolsDefinitionMode
    tools: list[NamedTool]

    def to_dict(self) -> dict[str, Any]:
        mode: str = self.mode

        tools = []
        for tools_item_data in self.tools:
            tools_item = tools_item_data.to_dict()
            tools.append(tools_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "mode": mode,
                "tools": tools,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.named_tool import NamedTool  # noqa: PLC0415

        d = dict(src_dict)
        mode = check_allowed_tools_definition_mode(d.pop("mode"))

        tools = []
        _tools = d.pop("tools")
        for tools_item_data in _tools:
            tools_item = NamedTool.from_dict(tools_item_data)

            tools.append(tools_item)

        allowed_tools_definition = cls(
            mode=mode,
            tools=tools,
        )

        return allowed_tools_definition
