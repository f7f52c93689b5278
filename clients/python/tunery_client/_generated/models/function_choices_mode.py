from typing import Literal

FunctionChoicesMode = Literal["auto", "required"]

FUNCTION_CHOICES_MODE_VALUES: set[FunctionChoicesMode] = {
    "auto",
    "required",
}


def check_function_choices_mode(value: str) -> FunctionChoicesMode:
    if value in FUNCTION_CHOICES_MODE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {FUNCTION_CHOICES_MODE_VALUES!r}")
