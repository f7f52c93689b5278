from typing import Literal

Includable = Literal["message.output_text.logprobs", "reasoning.encrypted_content"]

INCLUDABLE_VALUES: set[Includable] = {
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
}


def check_includable(value: str) -> Includable:
    if value in INCLUDABLE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {INCLUDABLE_VALUES!r}")
