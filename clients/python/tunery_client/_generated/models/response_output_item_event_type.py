from typing import Literal

ResponseOutputItemEventType = Literal["response.output_item.added", "response.output_item.done"]

RESPONSE_OUTPUT_ITEM_EVENT_TYPE_VALUES: set[ResponseOutputItemEventType] = {
    "response.output_item.added",
    "response.output_item.done",
}


def check_response_output_item_event_type(value: str) -> ResponseOutputItemEventType:
    if value in RESPONSE_OUTPUT_ITEM_EVENT_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RESPONSE_OUTPUT_ITEM_EVENT_TYPE_VALUES!r}")
