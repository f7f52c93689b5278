from typing import Literal

ResponseLifecycleEventType = Literal[
    "response.completed", "response.created", "response.failed", "response.in_progress", "response.incomplete"
]

RESPONSE_LIFECYCLE_EVENT_TYPE_VALUES: set[ResponseLifecycleEventType] = {
    "response.completed",
    "response.created",
    "response.failed",
    "response.in_progress",
    "response.incomplete",
}


def check_response_lifecycle_event_type(value: str) -> ResponseLifecycleEventType:
    if value in RESPONSE_LIFECYCLE_EVENT_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RESPONSE_LIFECYCLE_EVENT_TYPE_VALUES!r}")
