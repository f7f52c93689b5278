from typing import Literal

RetentionTermDaysType1 = Literal["forever"]

RETENTION_TERM_DAYS_TYPE_1_VALUES: set[RetentionTermDaysType1] = {
    "forever",
}


def check_retention_term_days_type_1(value: str) -> RetentionTermDaysType1:
    if value in RETENTION_TERM_DAYS_TYPE_1_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RETENTION_TERM_DAYS_TYPE_1_VALUES!r}")
