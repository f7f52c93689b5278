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

from ..models.function_choices_mode import (
    FunctionChoicesMode,
    check_function_choices_mode,
)

if TYPE_CHECKING:
    from ..models.function_choice import FunctionChoice


T = TypeVar("T", bound="FunctionChoices")


@_attrs_define
class FunctionChoices:
    """Restricts the model to some of the functions. `mode` means the same as `auto` or `required` for all of
    them.

        Attributes:
            type_ (Literal['allowed_tools']):
            mode (FunctionChoicesMode):
            tools (list[FunctionChoice]):
    """

    type_: Literal["allowed_tools"]
    mode: FunctionChoicesMode
    tools: list[FunctionChoice]

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        mode: str = self.mode

        tools = []
        for tools_item_data in self.tools:
            tools_item = tools_item_data.to_dict()
            tools.append(tools_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "mode": mode,
                "tools": tools,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.function_choice import FunctionChoice  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["allowed_tools"], d.pop("type"))
        if type_ != "allowed_tools":
            raise ValueError(f"type must match const 'allowed_tools', got '{type_}'")

        mode = check_function_choices_mode(d.pop("mode"))

        tools = []
        _tools = d.pop("tools")
        for tools_item_data in _tools:
            tools_item = FunctionChoice.from_dict(tools_item_data)

            tools.append(tools_item)

        function_choices = cls(
            type_=type_,
            mode=mode,
            tools=tools,
        )

        return function_choices
