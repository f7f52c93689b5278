from typing import Literal

ModelResponseStatus = Literal["completed", "failed", "in_progress", "incomplete"]

MODEL_RESPONSE_STATUS_VALUES: set[ModelResponseStatus] = {
    "completed",
    "failed",
    "in_progress",
    "incomplete",
}


def check_model_response_status(value: str) -> ModelResponseStatus:
    if value in MODEL_RESPONSE_STATUS_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODEL_RESPONSE_STATUS_VALUES!r}")
