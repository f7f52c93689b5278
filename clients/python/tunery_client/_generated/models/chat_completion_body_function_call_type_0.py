from typing import Literal

ChatCompletionBodyFunctionCallType0 = Literal["auto", "none"]

CHAT_COMPLETION_BODY_FUNCTION_CALL_TYPE_0_VALUES: set[ChatCompletionBodyFunctionCallType0] = {
    "auto",
    "none",
}


def check_chat_completion_body_function_call_type_0(value: str) -> ChatCompletionBodyFunctionCallType0:
    if value in CHAT_COMPLETION_BODY_FUNCTION_CALL_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CHAT_COMPLETION_BODY_FUNCTION_CALL_TYPE_0_VALUES!r}"
    )
