from typing import Literal

ResponsesBodyToolChoiceType0 = Literal["auto", "none", "required"]

RESPONSES_BODY_TOOL_CHOICE_TYPE_0_VALUES: set[ResponsesBodyToolChoiceType0] = {
    "auto",
    "none",
    "required",
}


def check_responses_body_tool_choice_type_0(value: str) -> ResponsesBodyToolChoiceType0:
    if value in RESPONSES_BODY_TOOL_CHOICE_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {RESPONSES_BODY_TOOL_CHOICE_TYPE_0_VALUES!r}"
    )
