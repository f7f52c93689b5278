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
    from ..models.input_text import InputText


T = TypeVar("T", bound="CallOutput")


@_attrs_define
class CallOutput:
    """What a function returned.

    Attributes:
        type_ (Literal['function_call_output']):
        call_id (str): Id of the call that this is the output of, which must come before it.
        output (list[InputText] | str):
    """

    type_: Literal["function_call_output"]
    call_id: str
    output: list[InputText] | str

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        call_id = self.call_id

        output: list[dict[str, Any]] | str
        if isinstance(self.output, list):
            output = []
            for output_type_1_item_data in self.output:
                output_type_1_item = output_type_1_item_data.to_dict()
                output.append(output_type_1_item)

        else:
            output = self.output

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "call_id": call_id,
                "output": output,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.input_text import InputText  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["function_call_output"], d.pop("type"))
        if type_ != "function_call_output":
            raise ValueError(f"type must match const 'function_call_output', got '{type_}'")

        call_id = d.pop("call_id")

        def _parse_output(data: object) -> list[InputText] | str:
            try:
                if not isinstance(data, list):
                    raise TypeError()
                output_type_1 = []
                _output_type_1 = data
                for output_type_1_item_data in _output_type_1:
                    output_type_1_item = InputText.from_dict(output_type_1_item_data)

                    output_type_1.append(output_type_1_item)

                return output_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[InputText] | str, data)

        output = _parse_output(d.pop("output"))

        call_output = cls(
            type_=type_,
            call_id=call_id,
            output=output,
        )

        return call_output
