from typing import Literal

PreviewedRowOutcome = Literal["dropped", "error", "truncated", "whole"]

PREVIEWED_ROW_OUTCOME_VALUES: set[PreviewedRowOutcome] = {
    "dropped",
    "error",
    "truncated",
    "whole",
}


def check_previewed_row_outcome(value: str) -> PreviewedRowOutcome:
    if value in PREVIEWED_ROW_OUTCOME_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PREVIEWED_ROW_OUTCOME_VALUES!r}")
