from typing import Literal

ToolCallDeltaTypeType0 = Literal["function"]

TOOL_CALL_DELTA_TYPE_TYPE_0_VALUES: set[ToolCallDeltaTypeType0] = {
    "function",
}


def check_tool_call_delta_type_type_0(value: str) -> ToolCallDeltaTypeType0:
    if value in TOOL_CALL_DELTA_TYPE_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TOOL_CALL_DELTA_TYPE_TYPE_0_VALUES!r}")
