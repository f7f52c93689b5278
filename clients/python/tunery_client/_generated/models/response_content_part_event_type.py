from typing import Literal

ResponseContentPartEventType = Literal["response.content_part.added", "response.content_part.done"]

RESPONSE_CONTENT_PART_EVENT_TYPE_VALUES: set[ResponseContentPartEventType] = {
    "response.content_part.added",
    "response.content_part.done",
}


def check_response_content_part_event_type(value: str) -> ResponseContentPartEventType:
    if value in RESPONSE_CONTENT_PART_EVENT_TYPE_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {RESPONSE_CONTENT_PART_EVENT_TYPE_VALUES!r}"
    )
