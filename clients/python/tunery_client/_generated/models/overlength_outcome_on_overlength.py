from typing import Literal

OverlengthOutcomeOnOverlength = Literal["drop", "error", "truncate"]

OVERLENGTH_OUTCOME_ON_OVERLENGTH_VALUES: set[OverlengthOutcomeOnOverlength] = {
    "drop",
    "error",
    "truncate",
}


def check_overlength_outcome_on_overlength(value: str) -> OverlengthOutcomeOnOverlength:
    if value in OVERLENGTH_OUTCOME_ON_OVERLENGTH_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {OVERLENGTH_OUTCOME_ON_OVERLENGTH_VALUES!r}"
    )
