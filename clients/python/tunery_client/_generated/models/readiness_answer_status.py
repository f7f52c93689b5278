from typing import Literal

ReadinessAnswerStatus = Literal["not_ready", "ready"]

READINESS_ANSWER_STATUS_VALUES: set[ReadinessAnswerStatus] = {
    "not_ready",
    "ready",
}


def check_readiness_answer_status(value: str) -> ReadinessAnswerStatus:
    if value in READINESS_ANSWER_STATUS_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {READINESS_ANSWER_STATUS_VALUES!r}")
