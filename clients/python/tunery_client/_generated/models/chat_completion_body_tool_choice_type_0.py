from typing import Literal

ChatCompletionBodyToolChoiceType0 = Literal["auto", "none", "required"]

CHAT_COMPLETION_BODY_TOOL_CHOICE_TYPE_0_VALUES: set[ChatCompletionBodyToolChoiceType0] = {
    "auto",
    "none",
    "required",
}


def check_chat_completion_body_tool_choice_type_0(value: str) -> ChatCompletionBodyToolChoiceType0:
    if value in CHAT_COMPLETION_BODY_TOOL_CHOICE_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CHAT_COMPLETION_BODY_TOOL_CHOICE_TYPE_0_VALUES!r}"
    )
