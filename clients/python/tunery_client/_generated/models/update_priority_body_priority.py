from typing import Literal

UpdatePriorityBodyPriority = Literal["high", "low", "normal"]

UPDATE_PRIORITY_BODY_PRIORITY_VALUES: set[UpdatePriorityBodyPriority] = {
    "high",
    "low",
    "normal",
}


def check_update_priority_body_priority(value: str) -> UpdatePriorityBodyPriority:
    if value in UPDATE_PRIORITY_BODY_PRIORITY_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {UPDATE_PRIORITY_BODY_PRIORITY_VALUES!r}")
