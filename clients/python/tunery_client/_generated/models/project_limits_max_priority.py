from typing import Literal

ProjectLimitsMaxPriority = Literal["high", "low", "normal"]

PROJECT_LIMITS_MAX_PRIORITY_VALUES: set[ProjectLimitsMaxPriority] = {
    "high",
    "low",
    "normal",
}


def check_project_limits_max_priority(value: str) -> ProjectLimitsMaxPriority:
    if value in PROJECT_LIMITS_MAX_PRIORITY_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PROJECT_LIMITS_MAX_PRIORITY_VALUES!r}")
