from typing import Literal

ModelResponseToolChoiceType0 = Literal["auto", "none", "required"]

MODEL_RESPONSE_TOOL_CHOICE_TYPE_0_VALUES: set[ModelResponseToolChoiceType0] = {
    "auto",
    "none",
    "required",
}


def check_model_response_tool_choice_type_0(value: str) -> ModelResponseToolChoiceType0:
    if value in MODEL_RESPONSE_TOOL_CHOICE_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {MODEL_RESPONSE_TOOL_CHOICE_TYPE_0_VALUES!r}"
    )
