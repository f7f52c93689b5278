from typing import Literal

UpdateProjectLimitsBodyMaxPriorityType0 = Literal["high", "low", "normal"]

UPDATE_PROJECT_LIMITS_BODY_MAX_PRIORITY_TYPE_0_VALUES: set[UpdateProjectLimitsBodyMaxPriorityType0] = {
    "high",
    "low",
    "normal",
}


def check_update_project_limits_body_max_priority_type_0(
    value: str,
) -> UpdateProjectLimitsBodyMaxPriorityType0:
    if value in UPDATE_PROJECT_LIMITS_BODY_MAX_PRIORITY_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {UPDATE_PROJECT_LIMITS_BODY_MAX_PRIORITY_TYPE_0_VALUES!r}"
    )
