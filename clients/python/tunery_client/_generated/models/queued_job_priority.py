from typing import Literal

QueuedJobPriority = Literal["high", "low", "normal"]

QUEUED_JOB_PRIORITY_VALUES: set[QueuedJobPriority] = {
    "high",
    "low",
    "normal",
}


def check_queued_job_priority(value: str) -> QueuedJobPriority:
    if value in QUEUED_JOB_PRIORITY_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {QUEUED_JOB_PRIORITY_VALUES!r}")
