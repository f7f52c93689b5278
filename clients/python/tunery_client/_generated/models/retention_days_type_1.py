from typing import Literal

RetentionDaysType1 = Literal["default", "forever"]

RETENTION_DAYS_TYPE_1_VALUES: set[RetentionDaysType1] = {
    "default",
    "forever",
}


def check_retention_days_type_1(value: str) -> RetentionDaysType1:
    if value in RETENTION_DAYS_TYPE_1_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RETENTION_DAYS_TYPE_1_VALUES!r}")
